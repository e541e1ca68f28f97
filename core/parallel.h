#pragma once
// Deterministic parallel loops: what a chunk is depends on the problem, never on the number of threads.

#include <cstdint>
#include <type_traits>
#include <utility>

namespace lathe {

/// A non-owning reference to a callable; valid while the callable lives.
template <class Signature>
class FunctionRef;

template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class Fn>
  requires(!std::is_same_v<std::remove_cvref_t<Fn>, FunctionRef> && std::is_invocable_r_v<R, Fn&, Args...>)
      FunctionRef(Fn&& fn)  // NOLINT(google-explicit-constructor): a parameter type
      : object_(const_cast<void*>(static_cast<const void*>(&fn))), call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<Fn>*>(object))(std::forward<Args>(args)...);
        }) {}

  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// Threads used by parallel_for; at first the number of cores this process may use.
int num_threads();
/// n >= 1; takes effect at the next loop. Results never depend on it.
void set_num_threads(int n);

/// Calls body(lo, hi) for the chunks [0, grain), [grain, 2 grain), ... of [0, n), each once, on any thread in
/// any order. Chunks may not depend on each other. The exception of the lowest failing chunk is rethrown. A
/// loop started inside a loop runs serially.
void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t lo, int64_t hi)> body);

/// Whether this thread takes chunks of a loop of which other threads may take some.
bool inside_parallel_loop();

/// Number of chunks parallel_for(n, grain, ...) makes.
constexpr int64_t chunk_count(int64_t n, int64_t grain) {
  return (n + grain - 1) / grain;
}

}  // namespace lathe
