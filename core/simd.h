#pragma once
// Vectors of the instruction set that a file of core/cpu/isa/ is compiled for. Included there only:
// everything stands in that instruction set's namespace, so no two copies share a symbol.

#include <cstdint>
#include <cstring>

namespace lathe::cpu::LATHE_ISA_NAMESPACE {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
inline constexpr int kRegisters = 32;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
inline constexpr int kRegisters = 16;
#else
inline constexpr int kVectorBytes = 16;
inline constexpr int kRegisters = 16;
#endif

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
};
/// A register of T: + - * work lane by lane and with a scalar; a * b + c is contracted to one FMA if there is
/// one.
template <class T>
using Vec = typename VectorOf<T>::type;

template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

/// Unaligned.
template <class T>
[[gnu::always_inline]] inline Vec<T> load(const T* from) {
  Vec<T> v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}
template <class T>
[[gnu::always_inline]] inline void store(T* to, Vec<T> v) {
  std::memcpy(to, &v, sizeof(v));
}

/// The first n lanes (0 < n < kLanes), the others 0; touches n elements only.
template <class T>
[[gnu::always_inline]] inline Vec<T> load_first(const T* from, int64_t n) {
  T lanes[kLanes<T>] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = from[i];
  return load(lanes);
}
template <class T>
[[gnu::always_inline]] inline void store_first(T* to, Vec<T> v, int64_t n) {
  T lanes[kLanes<T>];
  store(lanes, v);
  for (int64_t i = 0; i < n; ++i) to[i] = lanes[i];
}

/// Every lane `value`.
template <class T>
[[gnu::always_inline]] inline Vec<T> broadcast(T value) {
  return value - Vec<T>{};  // x - 0 is x, also for -0: folds to a plain broadcast
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
