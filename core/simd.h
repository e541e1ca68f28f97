#pragma once
// Vectors of the instruction set that a file of core/cpu/isa/ is compiled for. Included there only:
// everything stands in that instruction set's namespace, so no two copies share a symbol.

#include <cstdint>
#include <cstring>
#include <type_traits>

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

/// The mask type of T's vectors: one integer of T's size per lane.
template <class T>
struct MaskOf {
  using Integer = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef Integer type __attribute__((vector_size(kVectorBytes)));
};

/// In place: lane j of row i and lane i of row j change places, for kLanes rows. Lanes whose index differs
/// from the row's in bit `step` are exchanged, bit after bit.
template <class T, int Step = 1>
[[gnu::always_inline]] inline void transpose(Vec<T> (&rows)[kLanes<T>]) {
  constexpr int kL = kLanes<T>;
  if constexpr (Step < kL) {
    typename MaskOf<T>::type low{}, high{};
    for (int i = 0; i < kL; ++i) {
      low[i] = (i & Step) == 0 ? i : i - Step + kL;
      high[i] = (i & Step) == 0 ? i + Step : i + kL;
    }
#pragma GCC unroll 16
    for (int i = 0; i < kL; ++i) {
      if ((i & Step) != 0) continue;
      const Vec<T> a = rows[i], b = rows[i + Step];
      rows[i] = __builtin_shuffle(a, b, low);
      rows[i + Step] = __builtin_shuffle(a, b, high);
    }
    transpose<T, 2 * Step>(rows);
  }
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
