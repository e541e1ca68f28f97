#pragma once
// Vectors as wide as the instruction set's registers, for loops that the compiler does not vectorise by
// itself (sums along a row, exp). Everything has internal linkage: see core/cpu/isa.h.

#include <cstdint>

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

#if defined(LATHE_ISA_v4)
constexpr int kVecBytes = 64;
#elif defined(LATHE_ISA_v3)
constexpr int kVecBytes = 32;
#else
constexpr int kVecBytes = 16;
#endif

template <class T>
struct VecTypes;
template <>
struct VecTypes<float> {
  typedef float Real __attribute__((vector_size(kVecBytes)));
  typedef int32_t Int __attribute__((vector_size(kVecBytes)));
};
template <>
struct VecTypes<double> {
  typedef double Real __attribute__((vector_size(kVecBytes)));
  typedef int64_t Int __attribute__((vector_size(kVecBytes)));
};
template <class T>
using Vec = typename VecTypes<T>::Real;
template <class T>
using IntVec = typename VecTypes<T>::Int;
template <class T>
constexpr T kMinusInf = -static_cast<T>(__builtin_inf());
template <class T>
constexpr int64_t kLanes = kVecBytes / static_cast<int64_t>(sizeof(T));

template <class T>
inline Vec<T> load(const T* p) {
  Vec<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
inline void store(T* p, Vec<T> v) {
  __builtin_memcpy(p, &v, sizeof v);
}
template <class T>
inline Vec<T> splat(T value) {
  return Vec<T>{} + value;
}
/// The first `count` < kLanes values, the other lanes set to `fill`.
template <class T>
inline Vec<T> load_part(const T* p, int64_t count, T fill) {
  T lanes[kLanes<T>];
  for (int64_t i = 0; i < kLanes<T>; ++i) lanes[i] = i < count ? p[i] : fill;
  return load(lanes);
}
template <class T>
inline void store_part(T* p, Vec<T> v, int64_t count) {
  T lanes[kLanes<T>];
  store(lanes, v);
  for (int64_t i = 0; i < count; ++i) p[i] = lanes[i];
}
/// Whole vectors, or `count` < kLanes values.
template <class T>
inline Vec<T> load_up_to(const T* p, int64_t count, T fill) {
  return count == kLanes<T> ? load(p) : load_part(p, count, fill);
}
template <class T>
inline void store_up_to(T* p, Vec<T> v, int64_t count) {
  count == kLanes<T> ? store(p, v) : store_part(p, v, count);
}
/// Calls fn(i, count): whole vectors first, then one of count < kLanes values if any are left.
template <class T, class Fn>
inline void for_each_vec(int64_t n, const Fn& fn) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) fn(i, kLanes<T>);
  if (i < n) fn(i, n - i);
}

template <class T>
inline Vec<T> max_of(Vec<T> a, Vec<T> b) {
  return b > a ? b : a;
}
/// Sum of the lanes: halves are added until one is left.
template <class T>
inline T sum_lanes(Vec<T> v) {
  T lanes[kLanes<T>];
  store(lanes, v);
  for (int64_t width = kLanes<T> / 2; width > 0; width /= 2) {
    for (int64_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}
template <class T>
inline T max_lanes(Vec<T> v) {
  T lanes[kLanes<T>];
  store(lanes, v);
  T best = lanes[0];
  for (int64_t i = 1; i < kLanes<T>; ++i) best = lanes[i] > best ? lanes[i] : best;
  return best;
}

/// exp(x) for x <= 88, within 2 ulp; 0 below ln(FLT_MIN); NaN stays. Cephes' expf: exp(x) = 2^n exp(r),
/// |r| <= ln(2) / 2, ln(2) split in two so that r is exact.
inline Vec<float> exp_lanes(Vec<float> x) {
  constexpr float kLowest = -87.336544f;  // ln(FLT_MIN)
  constexpr float kRound = 12582912.0f;   // 1.5 * 2^23: adding it rounds to an integer
  const IntVec<float> tiny = x < kLowest;
  const Vec<float> safe = tiny ? splat(0.0f) : x;
  const Vec<float> shifted = safe * 1.44269504f + kRound;
  const Vec<float> n = shifted - kRound;
  const Vec<float> r = (safe - n * 0.693359375f) - n * -2.12194440e-4f;
  Vec<float> p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // The low bits of `shifted` hold n; they become the exponent of 2^n.
  IntVec<float> bits;
  __builtin_memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127) << 23;
  Vec<float> scale;
  __builtin_memcpy(&scale, &bits, sizeof scale);
  return tiny ? splat(0.0f) : p * scale;
}

/// Doubles serve gradient checks: accuracy before speed.
inline Vec<double> exp_lanes(Vec<double> x) {
  for (int64_t i = 0; i < kLanes<double>; ++i) x[i] = __builtin_exp(x[i]);
  return x;
}

inline float log_of(float x) {
  return __builtin_logf(x);
}
inline double log_of(double x) {
  return __builtin_log(x);
}

}  // namespace
}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
