// Ranges, minmax, absmax and LSQ.

#include "quant/cpu/isa/lanes.h"
#include "quant/cpu/isa_quant.h"
#include "quant/math/absmax.h"
#include "quant/math/lsq.h"
#include "quant/math/minmax.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

constexpr int kRangeLanes = 64;  // four AVX-512 registers of f32: enough to hide a minimum's latency

/// Groups of a few elements, for which lanes would be more work than the elements.
template <class T>
void short_range(T* range, const T* x, int64_t n) {
  T least = x[0], most = x[0], poison = 0;
  for (int64_t i = 0; i < n; ++i) {
    least = x[i] < least ? x[i] : least;
    most = x[i] > most ? x[i] : most;
    poison += x[i] - x[i];
  }
  range[0] = least + poison;
  range[1] = most + poison;
}

template <class T>
void value_range(T* range, const T* x, int64_t n) {
  if (n < kRangeLanes) return short_range(range, x, n);
  T least[kRangeLanes], most[kRangeLanes], poison[kRangeLanes];
  for (int l = 0; l < kRangeLanes; ++l) {
    least[l] = most[l] = x[0];
    poison[l] = 0;
  }
  const int64_t whole = n / kRangeLanes * kRangeLanes;
  for (int64_t i = 0; i < whole; i += kRangeLanes) {
    for (int l = 0; l < kRangeLanes; ++l) {
      const T value = x[i + l];
      least[l] = value < least[l] ? value : least[l];
      most[l] = value > most[l] ? value : most[l];
      poison[l] += value - value;  // not 0 for infinities and NaN
    }
  }
  for (int64_t i = whole; i < n; ++i) {
    const T value = x[i];
    least[0] = value < least[0] ? value : least[0];
    most[0] = value > most[0] ? value : most[0];
    poison[0] += value - value;
  }
  for (int half = kRangeLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) {
      least[l] = least[l + half] < least[l] ? least[l + half] : least[l];
      most[l] = most[l + half] > most[l] ? most[l + half] : most[l];
      poison[l] += poison[l + half];
    }
  }
  range[0] = least[0] + poison[0];  // + 0: which zero stood first is no matter
  range[1] = most[0] + poison[0];
}

template <class T>
void minmax(T* __restrict y, const T* __restrict x, int64_t n, T levels, T range, T least) {
  for (int64_t i = 0; i < n; ++i) y[i] = quant::minmax_value(x[i], levels, range, least);
}

template <class T>
void absmax(T* __restrict y, const T* __restrict x, int64_t n, T scale, T most) {
  for (int64_t i = 0; i < n; ++i) y[i] = quant::absmax_value(x[i], scale, most);
}

template <class T>
void lsq(T* __restrict y, const T* __restrict x, int64_t n, LsqScalars<T> g) {
  for (int64_t i = 0; i < n; ++i) y[i] = quant::lsq_value(x[i], g.step, g.offset, g.lo, g.hi);
}

/// What the gradients of an element add to their sums, marked where it is clipped.
template <class T>
[[gnu::always_inline]] inline Terms<T> terms_of(T dy, T x, const LsqScalars<T>& g) {
  const auto d = quant::lsq_gradients(x, g.step, g.offset, g.lo, g.hi);
  return {dy, d.step, d.offset, T(1) - d.x};
}

template <class T, bool kWithX>
void lsq_backward(double* sums, T* __restrict dx, const T* __restrict dy, const T* __restrict x, int64_t n,
                  LsqScalars<T> g) {
  sum_two<SumKind{.second = true, .weighted = false}, T>(
      sums, dy, n, [=](int64_t i) __attribute__((always_inline)) { return terms_of(dy[i], x[i], g); },
      [](int64_t, int64_t) {});
  if constexpr (kWithX) {
    for (int64_t i = 0; i < n; ++i)
      dx[i] = dy[i] * quant::lsq_gradients(x[i], g.step, g.offset, g.lo, g.hi).x;
  }
}

/// The same with dx in dy's place: hardly a block has a clipped element, the others are only read.
template <class T, bool kOffset>
void lsq_backward_in_place(double* sums, T* __restrict dy, const T* __restrict x, int64_t n,
                           LsqScalars<T> g) {
  sum_two<SumKind{.second = kOffset, .weighted = false}, T>(
      sums, dy, n, [=](int64_t i) __attribute__((always_inline)) { return terms_of(dy[i], x[i], g); },
      [=](int64_t first, int64_t last) __attribute__((always_inline)) {
        for (int64_t i = first; i < last; ++i)
          dy[i] *= quant::lsq_gradients(x[i], g.step, g.offset, g.lo, g.hi).x;
      });
}

template <class T>
void lsq_backward(double* sums, T* dx, const T* dy, const T* x, int64_t n, const LsqScalars<T>& grid,
                  bool with_offset) {
  if (dx == dy) {
    with_offset ? lsq_backward_in_place<T, true>(sums, dx, x, n, grid)
                : lsq_backward_in_place<T, false>(sums, dx, x, n, grid);
  } else if (dx != nullptr) {
    lsq_backward<T, true>(sums, dx, dy, x, n, grid);
  } else {
    lsq_backward<T, false>(sums, dx, dy, x, n, grid);
  }
}

}  // namespace

void value_range_f32(float* range, const float* x, int64_t n) {
  value_range(range, x, n);
}
void value_range_f64(double* range, const double* x, int64_t n) {
  value_range(range, x, n);
}

void minmax_f32(float* y, const float* x, int64_t n, float levels, float range, float least) {
  minmax(y, x, n, levels, range, least);
}
void minmax_f64(double* y, const double* x, int64_t n, double levels, double range, double least) {
  minmax(y, x, n, levels, range, least);
}

void absmax_f32(float* y, const float* x, int64_t n, float scale, float most) {
  absmax(y, x, n, scale, most);
}
void absmax_f64(double* y, const double* x, int64_t n, double scale, double most) {
  absmax(y, x, n, scale, most);
}

void lsq_f32(float* y, const float* x, int64_t n, const LsqScalars<float>& grid) {
  lsq(y, x, n, grid);
}
void lsq_f64(double* y, const double* x, int64_t n, const LsqScalars<double>& grid) {
  lsq(y, x, n, grid);
}

void lsq_backward_f32(double* sums, float* dx, const float* dy, const float* x, int64_t n,
                      const LsqScalars<float>& grid, bool with_offset) {
  lsq_backward(sums, dx, dy, x, n, grid, with_offset);
}
void lsq_backward_f64(double* sums, double* dx, const double* dy, const double* x, int64_t n,
                      const LsqScalars<double>& grid, bool with_offset) {
  lsq_backward(sums, dx, dy, x, n, grid, with_offset);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
