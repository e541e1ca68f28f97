#include "tests/cuda_emulator/context.h"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)

// What the System V ABI has a function keep: rbx, rbp, r12 to r15, and the stack pointer. Rounding modes are
// nobody's to change here.
asm(R"(
.text
.p2align 4
.type lathe_emulator_switch, @function
lathe_emulator_switch:
  pushq %rbx
  pushq %rbp
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbp
  popq %rbx
  ret
.size lathe_emulator_switch, .-lathe_emulator_switch
)");
extern "C" void lathe_emulator_switch(void** from, void* to);

#endif

namespace emulator {

#if defined(__x86_64__)

void prepare(Context& context, char* stack, size_t size, void (*entry)()) {
  // Six registers, the address to go on at, and a word in place of entry's return address: entry finds the
  // stack aligned as after a call.
  const uintptr_t top = (reinterpret_cast<uintptr_t>(stack) + size) / 16 * 16 - 8 * sizeof(void*);
  void* frame[8] = {};
  frame[6] = reinterpret_cast<void*>(entry);
  std::memcpy(reinterpret_cast<void*>(top), frame, sizeof frame);
  context.stack_pointer = reinterpret_cast<void*>(top);
}

void switch_context(Context& from, Context& to) {
  lathe_emulator_switch(&from.stack_pointer, to.stack_pointer);
}

#else

void prepare(Context& context, char* stack, size_t size, void (*entry)()) {
  getcontext(&context.machine);
  context.machine.uc_stack.ss_sp = stack;
  context.machine.uc_stack.ss_size = size;
  context.machine.uc_link = nullptr;
  makecontext(&context.machine, entry, 0);
}

void switch_context(Context& from, Context& to) {
  swapcontext(&from.machine, &to.machine);
}

#endif

}  // namespace emulator
