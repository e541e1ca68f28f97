// CoDeQ: its quantizer, and the passes of the selection that finds its amplitude.

#include "quant/math/codeq.h"

#include "quant/cpu/isa/lanes.h"
#include "quant/cpu/isa_quant.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

using quant::CodeqGrid;

template <class T>
void codeq(T* __restrict y, const T* __restrict x, int64_t n, CodeqGrid<T> g) {
  for (int64_t i = 0; i < n; ++i) y[i] = quant::codeq_value(x[i], g);
}

constexpr SumKind kCodeqSums{.second = true, .weighted = true};

/// What the gradients of an element add to their sums, marked where it is 0.
template <class T>
[[gnu::always_inline]] inline Terms<T> terms_of(T dy, T x, const CodeqGrid<T>& g) {
  const auto d = quant::codeq_size_gradients(quant::magnitude(x), g);
  return {x < T(0) ? -dy : x == T(0) ? T(0) : dy, d.step, d.half_shift, x == T(0) ? T(1) : T(0)};
}

template <class T, bool kWithX>
void codeq_backward(double* sums, T* __restrict dx, const T* __restrict dy, const T* __restrict x, int64_t n,
                    CodeqGrid<T> g, bool zero_too) {
  sum_two<kCodeqSums, T>(
      sums, dy, n, [=](int64_t i) __attribute__((always_inline)) { return terms_of(dy[i], x[i], g); },
      [](int64_t, int64_t) {});
  if constexpr (kWithX) {
    for (int64_t i = 0; i < n; ++i) dx[i] = x[i] == T(0) && !zero_too ? T(0) : dy[i];
  }
}

/// The same with dx in dy's place: hardly a block has a weight of 0, the others are only read.
template <class T>
void codeq_backward_in_place(double* sums, T* __restrict dy, const T* __restrict x, int64_t n, CodeqGrid<T> g,
                             bool zero_too) {
  sum_two<kCodeqSums, T>(
      sums, dy, n, [=](int64_t i) __attribute__((always_inline)) { return terms_of(dy[i], x[i], g); },
      [=](int64_t first, int64_t last) __attribute__((always_inline)) {
        if (zero_too) return;
        for (int64_t i = first; i < last; ++i) dy[i] = x[i] == T(0) ? T(0) : dy[i];
      });
}

template <class T>
void codeq_backward(double* sums, T* dx, const T* dy, const T* x, int64_t n, const CodeqGrid<T>& grid,
                    bool zero_too) {
  if (dx == dy) {
    codeq_backward_in_place(sums, dx, x, n, grid, zero_too);
  } else if (dx != nullptr) {
    codeq_backward<T, true>(sums, dx, dy, x, n, grid, zero_too);
  } else {
    codeq_backward<T, false>(sums, dx, dy, x, n, grid, zero_too);
  }
}

template <class T>
struct BitsOf;
template <>
struct BitsOf<float> {
  using Type = uint32_t;
  using Signed = int32_t;
};
template <>
struct BitsOf<double> {
  using Type = uint64_t;
  using Signed = int64_t;
};

/// The bits of |x|; never negative, so that signed comparisons, which every instruction set has, serve.
template <class T>
inline typename BitsOf<T>::Signed magnitude_bits(T x) {
  using Bits = typename BitsOf<T>::Type;
  return static_cast<typename BitsOf<T>::Signed>(__builtin_bit_cast(Bits, x) & (~Bits{0} >> 1));
}

template <class T>
int64_t magnitudes_from(const T* x, int64_t n, uint64_t least) {
  using Signed = typename BitsOf<T>::Signed;
  const auto bound = static_cast<Signed>(least);
  constexpr int64_t kBlock = 1 << 20;  // counts in 32 bits
  int64_t total = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = n - begin < kBlock ? n : begin + kBlock;
    Signed count = 0;
    for (int64_t i = begin; i < end; ++i) count += magnitude_bits(x[i]) >= bound ? 1 : 0;
    total += count;
  }
  return total;
}

template <class T>
uint64_t magnitude_above(const T* x, int64_t n, uint64_t bound) {
  using Signed = typename BitsOf<T>::Signed;
  constexpr int kLanes = 64;
  constexpr Signed kNone = static_cast<Signed>(~typename BitsOf<T>::Type{0} >> 1);
  const auto low = static_cast<Signed>(bound);
  Signed least[kLanes];
  for (int l = 0; l < kLanes; ++l) least[l] = kNone;
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const Signed bits = magnitude_bits(x[i + l]), candidate = bits > low ? bits : kNone;
      least[l] = candidate < least[l] ? candidate : least[l];
    }
  }
  for (int64_t i = whole; i < n; ++i) {
    const Signed bits = magnitude_bits(x[i]), candidate = bits > low ? bits : kNone;
    least[0] = candidate < least[0] ? candidate : least[0];
  }
  for (int l = 1; l < kLanes; ++l) least[0] = least[l] < least[0] ? least[l] : least[0];
  return least[0] == kNone ? ~uint64_t{0} : static_cast<uint64_t>(least[0]);
}

/// The places of those inside, of which a block has few, as bits of one word.
template <class T>
int64_t magnitudes_within(T* out, int64_t room, int64_t* below, uint64_t* largest, const T* x, int64_t n,
                          uint64_t least, uint64_t span) {
  using Signed = typename BitsOf<T>::Signed;
  using Bits = typename BitsOf<T>::Type;
  constexpr int kBlock = 32;
  const auto low = static_cast<Signed>(least), width = static_cast<Signed>(span);
  Signed under[kBlock] = {}, most[kBlock] = {};
  int64_t found = 0;
  const int64_t whole = n / kBlock * kBlock;
  for (int64_t begin = 0; begin < whole; begin += kBlock) {
    const T* from = x + begin;
    Bits inside = 0;
    for (int i = 0; i < kBlock; ++i) {
      const Signed bits = magnitude_bits(from[i]), above = bits - low;
      most[i] = bits > most[i] ? bits : most[i];
      under[i] += above < 0 ? 1 : 0;
      inside |= above >= 0 && above < width ? Bits{1} << i : Bits{0};
    }
    if (room - found < kBlock) return -1;
    for (; inside != 0; inside &= inside - 1) out[found++] = from[__builtin_ctzll(inside)];
  }
  if (room - found < kBlock) return -1;
  for (int64_t i = whole; i < n; ++i) {
    const Signed bits = magnitude_bits(x[i]), above = bits - low;
    most[0] = bits > most[0] ? bits : most[0];
    under[0] += above < 0 ? 1 : 0;
    if (above >= 0 && above < width) out[found++] = x[i];
  }
  for (int i = 0; i < kBlock; ++i) {
    *below += under[i];
    most[0] = most[i] > most[0] ? most[i] : most[0];
  }
  *largest = static_cast<uint64_t>(most[0]);
  return found;
}

/// Blocks without a magnitude in the interval, most of them, are skipped; in the others what is outside goes
/// to spare bins in turn, which is cheaper than a branch that nobody can predict.
template <class T>
void magnitude_bins(uint32_t* counts, const T* x, int64_t n, uint64_t least, uint64_t span, int shift) {
  using Signed = typename BitsOf<T>::Signed;
  constexpr int kBlock = 32;
  const auto low = static_cast<Signed>(least), width = static_cast<Signed>(span);
  const auto spare = static_cast<int32_t>(((span - 1) >> shift) + 1);
  int32_t bin[kBlock];
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t count = n - begin < kBlock ? n - begin : kBlock;
    T block[kBlock];
    const T* from = x + begin;
    if (count < kBlock) {
      for (int64_t i = 0; i < kBlock; ++i) block[i] = i < count ? from[i] : T(0);
      from = block;
    }
    Signed any = 0;
    for (int i = 0; i < kBlock; ++i) {
      const Signed above = magnitude_bits(from[i]) - low;
      const bool inside = above >= 0 && above < width;
      any |= inside ? 1 : 0;
      bin[i] = inside ? static_cast<int32_t>(above >> shift) : spare + i % kSpareBins;
    }
    if (any == 0) continue;
    for (int64_t i = 0; i < count; ++i) ++counts[bin[i]];
  }
}

}  // namespace

void codeq_f32(float* y, const float* x, int64_t n, const CodeqGrid<float>& grid) {
  codeq(y, x, n, grid);
}
void codeq_f64(double* y, const double* x, int64_t n, const CodeqGrid<double>& grid) {
  codeq(y, x, n, grid);
}

void codeq_backward_f32(double* sums, float* dx, const float* dy, const float* x, int64_t n,
                        const CodeqGrid<float>& grid, bool zero_too) {
  codeq_backward(sums, dx, dy, x, n, grid, zero_too);
}
void codeq_backward_f64(double* sums, double* dx, const double* dy, const double* x, int64_t n,
                        const CodeqGrid<double>& grid, bool zero_too) {
  codeq_backward(sums, dx, dy, x, n, grid, zero_too);
}

int64_t magnitudes_from_f32(const float* x, int64_t n, uint64_t least) {
  return magnitudes_from(x, n, least);
}
int64_t magnitudes_from_f64(const double* x, int64_t n, uint64_t least) {
  return magnitudes_from(x, n, least);
}
int64_t magnitudes_within_f32(float* out, int64_t room, int64_t* below, uint64_t* largest, const float* x,
                              int64_t n, uint64_t least, uint64_t span) {
  return magnitudes_within(out, room, below, largest, x, n, least, span);
}
int64_t magnitudes_within_f64(double* out, int64_t room, int64_t* below, uint64_t* largest, const double* x,
                              int64_t n, uint64_t least, uint64_t span) {
  return magnitudes_within(out, room, below, largest, x, n, least, span);
}
uint64_t magnitude_above_f32(const float* x, int64_t n, uint64_t bound) {
  return magnitude_above(x, n, bound);
}
uint64_t magnitude_above_f64(const double* x, int64_t n, uint64_t bound) {
  return magnitude_above(x, n, bound);
}
void magnitude_bins_f32(uint32_t* counts, const float* x, int64_t n, uint64_t least, uint64_t span,
                        int shift) {
  magnitude_bins(counts, x, n, least, span, shift);
}
void magnitude_bins_f64(uint32_t* counts, const double* x, int64_t n, uint64_t least, uint64_t span,
                        int shift) {
  magnitude_bins(counts, x, n, least, span, shift);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
