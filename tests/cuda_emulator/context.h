#pragma once
// Stacks that a thread of the operating system switches between. On x86-64 without a system call: a block of
// device threads switches at every barrier.

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulator {

struct Context {
#if defined(__x86_64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t machine{};
#endif
};

/// A context that begins with `entry`, which never returns, on `stack`.
void prepare(Context& context, char* stack, size_t size, void (*entry)());
/// Leaves `from`, to come back to it, and goes on in `to`.
void switch_context(Context& from, Context& to);

}  // namespace emulator
