// DiffQ: noise, its sums, and widths from logits.

#include "quant/math/diffq.h"

#include "core/cpu/isa/philox_lanes.h"
#include "core/philox.h"
#include "quant/cpu/isa_quant.h"
#include "quant/math/noise.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

using quant::kNoiseBlocks;

/// words[k][b]: word k of block `first` + b.
inline void draw_row(uint32_t (&words)[4][kNoiseBlocks], const Philox& philox, uint64_t first) {
  typedef uint32_t Halves __attribute__((vector_size(kWide * 4)));
  const uint32_t k0 = static_cast<uint32_t>(philox.seed), k1 = static_cast<uint32_t>(philox.seed >> 32);
  Words lane{};
  for (int l = 0; l < kWide; ++l) lane[l] = static_cast<uint64_t>(l);
  for (int b = 0; b < kNoiseBlocks; b += kWide) {
    const Words index = lane + (first + static_cast<uint64_t>(b));
    Lanes lanes{index, index >> 32, Words{} + philox.stream, Words{} + philox.step};
    draw(lanes, k0, k1);
    const Words drawn[4] = {lanes.c0, lanes.c1, lanes.c2, lanes.c3};
    for (int k = 0; k < 4; ++k) {
      const Halves low = __builtin_convertvector(drawn[k], Halves);
      __builtin_memcpy(words[k] + b, &low, sizeof low);
    }
  }
}

inline void normal_row(float* noise, const uint32_t (&words)[4][kNoiseBlocks]) {
  for (int k = 0; k < 4; k += 2) {
    for (int b = 0; b < kNoiseBlocks; ++b) {
      quant::diffq_normals(words[k][b], words[k + 1][b], noise[k * kNoiseBlocks + b],
                           noise[(k + 1) * kNoiseBlocks + b]);
    }
  }
}

inline void uniform_row(float* noise, const uint32_t (&words)[4][kNoiseBlocks]) {
  for (int k = 0; k < 4; ++k) {
    for (int b = 0; b < kNoiseBlocks; ++b)
      noise[k * kNoiseBlocks + b] = quant::diffq_uniform(words[k][b]) - 0.5f;
  }
}

/// fn(first, last, g): the parts of a span that lie in one group each, in order.
template <class Fn>
[[gnu::always_inline]] inline void for_each_part(GroupSpan span, const Fn& fn) {
  int64_t g = 0, begin = 0, end = span.group - span.first;
  while (begin < span.n) {
    fn(begin, end < span.n ? end : span.n, g);
    begin = end;
    end += span.group;
    ++g;
  }
}

template <class T>
[[gnu::always_inline]] inline void add_part(T* __restrict y, const T* __restrict w, const T* __restrict noise,
                                            int64_t n, T range, T unit) {
  for (int64_t i = 0; i < n; ++i) y[i] = quant::diffq_noisy(w[i], range, unit, noise[i]);
}

template <class T>
void add_noise(T* y, const T* w, const T* noise, GroupSpan span, T range, const T* units, int64_t unit_step) {
  for_each_part(span, [=](int64_t first, int64_t last, int64_t g) {
    const T unit = units[g * unit_step];
    // Loops of a known length for the usual groups.
    if (last - first == 8) {
      add_part(y + first, w + first, noise + first, 8, range, unit);
    } else if (last - first == 16) {
      add_part(y + first, w + first, noise + first, 16, range, unit);
    } else {
      add_part(y + first, w + first, noise + first, last - first, range, unit);
    }
  });
}

constexpr int kLanesOfGroup = 8;

/// 8 interleaved lanes, added up pairwise.
template <class T>
[[gnu::always_inline]] inline double products(const T* dy, const T* noise, int64_t n) {
  double lane[kLanesOfGroup] = {};
  const int64_t whole = n / kLanesOfGroup * kLanesOfGroup;
  for (int64_t i = 0; i < whole; i += kLanesOfGroup) {
    for (int l = 0; l < kLanesOfGroup; ++l)
      lane[l] += static_cast<double>(dy[i + l]) * static_cast<double>(noise[i + l]);
  }
  for (int64_t i = whole; i < n; ++i)
    lane[i - whole] += static_cast<double>(dy[i]) * static_cast<double>(noise[i]);
  for (int half = kLanesOfGroup / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  }
  return lane[0];
}

template <class T>
void noise_products(double* sums, const T* dy, const T* noise, GroupSpan span) {
  for_each_part(span, [=](int64_t first, int64_t last, int64_t g) {
    if (last - first == 8) {
      sums[g] += products(dy + first, noise + first, 8);
    } else if (last - first == 16) {
      sums[g] += products(dy + first, noise + first, 16);
    } else {
      sums[g] += products(dy + first, noise + first, last - first);
    }
  });
}

template <class T>
void count_ends(int64_t* counts, const T* x, int64_t n, T least, T most) {
  int64_t at_least = 0, at_most = 0;
  for (int64_t i = 0; i < n; ++i) {
    at_least += x[i] == least ? 1 : 0;
    at_most += x[i] == most ? 1 : 0;
  }
  counts[0] += at_least;
  counts[1] += at_most;
}

template <class T>
void add_ends(T* __restrict dx, const T* __restrict dy, const T* __restrict x, int64_t n, T least, T most,
              T down, T up) {
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] + (x[i] == most ? up : T(0)) - (x[i] == least ? down : T(0));
}

template <class T, bool kUnits, bool kOfNoise>
void widths(T* __restrict y, T* __restrict derivative, const T* __restrict logits, int64_t n, T least,
            T most) {
  for (int64_t i = 0; i < n; ++i) {
    const auto width = kOfNoise ? quant::diffq_width_of_noise(logits[i], least, most)
                                : quant::diffq_width_of_bits(logits[i], least, most);
    y[i] = kUnits ? width.unit : width.bits;
    derivative[i] = kUnits ? width.dunit : width.dbits;
  }
}

template <class T>
void diffq_widths(T* y, T* derivative, const T* logits, int64_t n, T least, T most, WidthsWanted wanted) {
  if (wanted.units) {
    wanted.of_noise ? widths<T, true, true>(y, derivative, logits, n, least, most)
                    : widths<T, true, false>(y, derivative, logits, n, least, most);
  } else {
    wanted.of_noise ? widths<T, false, true>(y, derivative, logits, n, least, most)
                    : widths<T, false, false>(y, derivative, logits, n, least, most);
  }
}

}  // namespace

void noise_rows(float* noise, const Philox& philox, bool gaussian, uint64_t first_row, int64_t rows) {
  constexpr int64_t kAtOnce = 4;  // a row's rounds wait for each other; those of several rows do not
  uint32_t words[kAtOnce][4][kNoiseBlocks];
  for (int64_t row = 0; row < rows; row += kAtOnce) {
    const int64_t count = rows - row < kAtOnce ? rows - row : kAtOnce;
    for (int64_t r = 0; r < count; ++r)
      draw_row(words[r], philox, (first_row + static_cast<uint64_t>(row + r)) * kNoiseBlocks);
    for (int64_t r = 0; r < count; ++r, noise += quant::kNoiseRow)
      gaussian ? normal_row(noise, words[r]) : uniform_row(noise, words[r]);
  }
}

void add_noise_f32(float* y, const float* w, const float* noise, GroupSpan span, float range,
                   const float* units, int64_t unit_step) {
  add_noise(y, w, noise, span, range, units, unit_step);
}
void add_noise_f64(double* y, const double* w, const double* noise, GroupSpan span, double range,
                   const double* units, int64_t unit_step) {
  add_noise(y, w, noise, span, range, units, unit_step);
}

void noise_products_f32(double* sums, const float* dy, const float* noise, GroupSpan span) {
  noise_products(sums, dy, noise, span);
}
void noise_products_f64(double* sums, const double* dy, const double* noise, GroupSpan span) {
  noise_products(sums, dy, noise, span);
}

void count_ends_f32(int64_t* counts, const float* x, int64_t n, float least, float most) {
  count_ends(counts, x, n, least, most);
}
void count_ends_f64(int64_t* counts, const double* x, int64_t n, double least, double most) {
  count_ends(counts, x, n, least, most);
}

void add_ends_f32(float* dx, const float* dy, const float* x, int64_t n, float least, float most, float down,
                  float up) {
  add_ends(dx, dy, x, n, least, most, down, up);
}
void add_ends_f64(double* dx, const double* dy, const double* x, int64_t n, double least, double most,
                  double down, double up) {
  add_ends(dx, dy, x, n, least, most, down, up);
}

void diffq_widths_f32(float* y, float* derivative, const float* logits, int64_t n, float least, float most,
                      WidthsWanted wanted) {
  diffq_widths(y, derivative, logits, n, least, most, wanted);
}
void diffq_widths_f64(double* y, double* derivative, const double* logits, int64_t n, double least,
                      double most, WidthsWanted wanted) {
  diffq_widths(y, derivative, logits, n, least, most, wanted);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
