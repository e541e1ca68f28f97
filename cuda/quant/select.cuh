#pragma once
// Exact order statistics by the digits of keys, integers that order as the elements do: counts of a digit's
// values among the elements that match the digits before. How often elements are read depends on their type
// only, and counts do not depend on an order.

#include "cuda/quant/groups.cuh"

namespace lathe::cuda {

template <class T>
using KeyOf = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

/// The bits of |x|.
template <class T>
struct MagnitudeKey {
  using U = KeyOf<T>;
  static __device__ U of(T x) { return __builtin_bit_cast(U, x) & (~U{0} >> 1); }
  static __device__ T value(U key) { return __builtin_bit_cast(T, key); }
};
/// Negative numbers have their bits inverted, others the sign's bit set.
template <class T>
struct SignedKey {
  using U = KeyOf<T>;
  static constexpr U kSign = ~(~U{0} >> 1);
  static __device__ U of(T x) {
    const U bits = __builtin_bit_cast(U, x);
    return (bits & kSign) != 0 ? ~bits : bits | kSign;
  }
  static __device__ T value(U key) {
    return __builtin_bit_cast(T, static_cast<U>((key & kSign) != 0 ? key & ~kSign : ~key));
  }
};

inline constexpr int kDigitBits = 11, kBins = 1 << kDigitBits;
/// Digits of a key, the most significant first; the last may be shorter.
template <class U>
inline constexpr int kDigits = (8 * static_cast<int>(sizeof(U)) + kDigitBits - 1) / kDigitBits;
template <class U>
LATHE_HD constexpr int digit_shift(int digit) {
  const int shift = 8 * static_cast<int>(sizeof(U)) - (digit + 1) * kDigitBits;
  return shift > 0 ? shift : 0;
}

/// The elements whose key begins with `key`'s digits so far; the wanted one is at `place` among them.
template <class U>
struct Selection {
  U key;
  uint64_t place, count;
};

/// What `bin` a key has in digit number `digit`, or -1 where it differs from the digits before.
template <class U>
__device__ __forceinline__ int bin_of(U key, const Selection<U>& in, int digit) {
  const int shift = digit_shift<U>(digit);
  if (digit > 0) {
    const int before = digit_shift<U>(digit - 1);
    if (key >> before != in.key >> before) return -1;
    return static_cast<int>((key & ((U{1} << before) - 1)) >> shift);
  }
  return static_cast<int>(key >> shift);
}

/// The narrower selection that the counts of a digit's bins tell; by a whole block, ends with a barrier.
template <class U, class Count>
__device__ Selection<U> narrowed(const Selection<U>& in, int digit, const Count* counts) {
  __shared__ uint64_t of_warp[kWarp];
  __shared__ Selection<U> found;
  const int per_thread = kBins / static_cast<int>(blockDim.x),
            first = static_cast<int>(threadIdx.x) * per_thread;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  uint64_t own = 0;
  for (int bin = first; bin < first + per_thread; ++bin) own += counts[bin];
  uint64_t up_to = own;
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const uint64_t other = __shfl_up_sync(0xFFFFFFFFu, up_to, offset);
    if (lane >= offset) up_to += other;
  }
  if (lane == kWarp - 1) of_warp[warp] = up_to;
  __syncthreads();
  for (int w = 0; w < warp; ++w) up_to += of_warp[w];
  uint64_t below = up_to - own;
  if (below <= in.place && in.place < up_to) {
    int bin = first;
    while (in.place >= below + counts[bin]) below += counts[bin++];
    found.key = in.key | static_cast<U>(bin) << digit_shift<U>(digit);
    found.place = in.place - below;
    found.count = counts[bin];
  }
  __syncthreads();
  const Selection<U> out = found;
  __syncthreads();
  return out;
}

/// The elements at a place and the next of a sorted tensor (the same again past the end).
template <class T>
struct Neighbours {
  T first, second;
};

struct LeastKey {
  template <class U>
  static __device__ __forceinline__ U of(U a, U b) {
    return a < b ? a : b;
  }
};

/// Of n elements, by one block; `counts` is shared memory of kBins.
template <class Key, class T>
__device__ Neighbours<T> block_select(const T* x, int64_t n, uint64_t place, uint32_t* counts) {
  using U = typename Key::U;
  Selection<U> at{0, place, static_cast<uint64_t>(n)};
  for (int digit = 0; digit < kDigits<U>; ++digit) {
    for (int bin = threadIdx.x; bin < kBins; bin += static_cast<int>(blockDim.x)) counts[bin] = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
      const int bin = bin_of(Key::of(x[i]), at, digit);
      if (bin >= 0) atomicAdd(counts + bin, 1u);
    }
    __syncthreads();
    at = narrowed(at, digit, counts);
  }
  U above = ~U{0};
  if (at.place + 1 < at.count) {
    above = at.key;
  } else {
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
      const U key = Key::of(x[i]);
      if (key > at.key && key < above) above = key;
    }
    above = block_reduce<LeastKey>(above);
  }
  return {Key::value(at.key), Key::value(above == ~U{0} ? at.key : above)};
}

/// Where a quantile lies: between the elements at `below` and below + 1.
struct QuantilePlace {
  uint64_t below;
  double rest;
  LATHE_HD QuantilePlace(double q, int64_t n) {
    const double place = q * static_cast<double>(n - 1);
    below = static_cast<uint64_t>(place);
    rest = place - static_cast<double>(below);
  }
  template <class T>
  LATHE_HD T between(const Neighbours<T>& of) const {
    return of.first + static_cast<T>(rest) * (of.second - of.first);
  }
};

}  // namespace lathe::cuda
