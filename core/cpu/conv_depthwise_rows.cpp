#include "core/cpu/conv_depthwise_rows.h"

#include <algorithm>

#include "core/cpu/conv_depthwise.h"
#include "core/cpu/conv_run.h"
#include "core/cpu/conv_scratch.h"
#include "core/cpu/isa_depthwise.h"

namespace lathe::cpu {
namespace {

constexpr int64_t kBandBytes = 32 * 1024;  // of a band's inputs and outputs, in L1
constexpr int64_t kMostRows = 16;          // of a band
constexpr int64_t kPartPixels = 64;        // of a partial sum of the weight gradient
constexpr int64_t kBandPixels = 32;        // of a band of the weight gradient, for its visit of the sums

void run_rows(const DepthwiseBand<float>& band) {
  depthwise_rows_f32(band);
}
void run_rows(const DepthwiseBand<double>& band) {
  depthwise_rows_f64(band);
}
void run_spread(const DepthwiseBand<float>& band) {
  depthwise_spread_f32(band);
}
void run_spread(const DepthwiseBand<double>& band) {
  depthwise_spread_f64(band);
}
void run_weight_rows(const DepthwiseBand<float>& band) {
  depthwise_weight_rows_f32(band);
}
void run_weight_rows(const DepthwiseBand<double>& band) {
  depthwise_weight_rows_f64(band);
}
void run_add(float* sum, const float* from, int64_t n) {
  depthwise_add_f32(sum, from, n);
}
void run_add(double* sum, const double* from, int64_t n) {
  depthwise_add_f64(sum, from, n);
}

/// Rows of an input, counted through all images: in place, or in a ring of as many rows as a band needs.
template <class T>
class Rows {
 public:
  Rows(const DepthwiseInput<T>& input, int64_t row_size, int64_t count, int64_t slots, ConvScratch& memory)
      : input_(input), size_(row_size), count_(count), slots_(input.fill == nullptr ? 0 : slots) {
    if (slots_ > 0) ring_ = memory.take<T>(slots_ * size_);
  }

  /// Rows are asked for in ascending order, but for those that are still in the ring.
  const T* row(int64_t row) {
    if (slots_ == 0) return input_.x + row * size_;
    T* const slot = ring_ + row % slots_ * size_;
    if (row >= filled_) {
      (*input_.fill)(slot, row);
      filled_ = row + 1;
    }
    return slot;
  }
  /// Rows [lo, hi), as far as they exist.
  ConvAhead ahead(int64_t lo, int64_t hi) const {
    if (slots_ > 0) return {};
    hi = std::min(hi, count_);
    lo = std::min(lo, hi);
    return {input_.x + lo * size_, (hi - lo) * size_ * static_cast<int64_t>(sizeof(T))};
  }

 private:
  const DepthwiseInput<T>& input_;
  int64_t size_, count_, slots_;
  T* ring_ = nullptr;
  int64_t filled_ = 0;
};

/// [tap][channel] of weights (C, 9), the taps in reverse where `turned`.
template <class T>
const T* pack_taps(const T* w, int64_t channels, bool turned) {
  thread_local ConvScratch memory;
  T* packed = memory.take<T>(9 * channels);
  for (int64_t t = 0; t < 9; ++t) {
    T* to = packed + t * channels;
    const T* from = w + (turned ? 8 - t : t);
    for (int64_t c = 0; c < channels; ++c) to[c] = from[c * 9];
  }
  return packed;
}

/// Rows of outputs whose inputs and outputs fit in L1 together.
int64_t band_rows(int64_t in_row_bytes, int64_t out_row_bytes, int64_t stride) {
  int64_t rows = 1;
  while (rows < kMostRows &&
         ((rows * stride + 3) * in_row_bytes + (rows + 1) * out_row_bytes) <= kBandBytes) {
    ++rows;
  }
  return rows;
}

int64_t chunk_rows(int64_t rows) {
  return chunk_count(rows, std::min(rows, kDepthwiseChunks));
}

/// Input rows in[3] of output row `row` (counted through all images) of a padded 3x3 kernel.
template <class T>
void set_inputs(DepthwiseRow<T>& job, Rows<T>& rows, int64_t row, int64_t out_h, int64_t in_h,
                int64_t stride) {
  const int64_t image = row / out_h, middle = row % out_h * stride;
  for (int64_t ky = 0; ky < 3; ++ky) {
    const int64_t u = middle + ky - 1;
    job.in[ky] = u < 0 || u >= in_h ? nullptr : rows.row(image * in_h + u);
  }
}

/// Rows of inputs that rows [row, row + count) of outputs read and row - 1 does not.
template <class T>
ConvAhead inputs_ahead(const Rows<T>& rows, int64_t row, int64_t count, int64_t out_h, int64_t in_h,
                       int64_t stride) {
  const int64_t i = row % out_h;
  const int64_t first = row / out_h * in_h + (i == 0 ? 0 : (i - 1) * stride + 2);
  return rows.ahead(first, first + count * stride);
}
/// Rows of an output: lines that are written far apart wait for memory as reads do.
template <class T>
ConvAhead outputs_ahead(const T* y, int64_t size, int64_t lo, int64_t hi) {
  return {y + lo * size, (hi - lo) * size * static_cast<int64_t>(sizeof(T))};
}

/// The forward of x (n, h, w) to y (n, oh, ow), or backward-data of stride 1 with x = dy and packed weights
/// turned.
template <class T>
void run_forward(const ConvShape& s, T* y, const DepthwiseInput<T>& x, const T* packed, const T* bias,
                 const DepthwiseDone* done) {
  const int64_t stride = s.geometry.stride_h, total = s.n * s.oh;
  const int64_t in_row = s.w * s.c, out_row = s.ow * s.c, bytes = static_cast<int64_t>(sizeof(T));
  const int64_t most = std::min(kMostRows, std::max(band_rows(in_row * bytes, out_row * bytes, stride),
                                                    chunk_count(kBandPixels, s.ow)));
  const int64_t grain = chunk_rows(total);
  parallel_for(total, grain, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch memory;
    Rows<T> rows(x, in_row, s.n * s.h, most * stride + 2, memory);
    DepthwiseRow<T> jobs[kMostRows];
    DepthwiseBand<T> band{jobs, 0, s.c, s.w, s.ow, stride, packed, bias, nullptr, {}};
    for (int64_t i = lo; i < hi; i += band.row_count) {
      band.row_count = std::min(most, hi - i);
      for (int64_t r = 0; r < band.row_count; ++r) {
        set_inputs(jobs[r], rows, i + r, s.oh, s.h, stride);
        jobs[r].out[0] = y + (i + r) * out_row;
      }
      const int64_t next = conv_next_window(i + band.row_count - 1, hi, grain);
      const int64_t next_end = std::min(next + band.row_count, total);
      band.ahead[0] = inputs_ahead(rows, next, band.row_count, s.oh, s.h, stride);
      band.ahead[1] = outputs_ahead(y, out_row, std::min(next, total), next_end);
      run_rows(band);
      if (done != nullptr) (*done)(lo / grain, i, i + band.row_count);
    }
  });
}

/// Pairs of rows of dx.
template <class T>
void run_backward_stride2(const ConvShape& s, T* dx, const DepthwiseInput<T>& dy, const T* packed,
                          const DepthwiseDone* done) {
  const int64_t total = s.n * s.oh, in_row = s.ow * s.c, out_row = s.w * s.c;
  const int64_t bytes = static_cast<int64_t>(sizeof(T)), grain = chunk_rows(total);
  const int64_t most = band_rows(in_row * bytes, 2 * out_row * bytes, 1);
  parallel_for(total, grain, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch memory;
    Rows<T> rows(dy, in_row, total, most + 1, memory);
    DepthwiseRow<T> jobs[kMostRows];
    DepthwiseBand<T> band{jobs, 0, s.c, s.w, s.ow, 2, packed, nullptr, nullptr, {}};
    const auto first_row = [&](int64_t i) { return i / s.oh * s.h + i % s.oh * 2; };
    for (int64_t i = lo; i < hi; i += band.row_count) {
      band.row_count = std::min(most, hi - i);
      for (int64_t r = 0; r < band.row_count; ++r) {
        const int64_t row = (i + r) % s.oh;
        T* out = dx + first_row(i + r) * out_row;
        jobs[r].in[0] = rows.row(i + r);
        jobs[r].in[1] = row + 1 < s.oh ? rows.row(i + r + 1) : nullptr;
        jobs[r].out[0] = out;
        jobs[r].out[1] = 2 * row + 1 < s.h ? out + out_row : nullptr;
      }
      const int64_t next = std::min(total, conv_next_window(i + band.row_count - 1, hi, grain));
      const int64_t next_end = std::min(next + band.row_count, total);
      band.ahead[0] = rows.ahead(next + 1, next_end + 1);
      band.ahead[1] = outputs_ahead(dx, out_row, first_row(next), first_row(next_end));
      run_spread(band);
      if (done != nullptr) (*done)(lo / grain, first_row(i), first_row(i + band.row_count));
    }
  });
}

}  // namespace

template <class T>
bool has_depthwise_rows(const ConvShape& s) {
  const Conv2dGeometry& g = s.geometry;
  return is_depthwise(s) && s.k == s.c && s.kh == 3 && s.kw == 3 && g.stride_h == g.stride_w &&
         g.stride_h <= 2 && g.pad_h == 1 && g.pad_w == 1 && g.dilation_h == 1 && g.dilation_w == 1 &&
         s.c % (conv_vector_bytes() / static_cast<int64_t>(sizeof(T))) == 0 && s.n > 0;
}

template <class T>
void depthwise_rows_forward(const ConvShape& shape, T* y, const DepthwiseInput<T>& x, const T* w,
                            const T* bias, const DepthwiseDone* done) {
  run_forward(shape, y, x, pack_taps(w, shape.c, false), bias, done);
}

template <class T>
void depthwise_rows_backward_data(const ConvShape& shape, T* dx, const DepthwiseInput<T>& dy, const T* w,
                                  const DepthwiseDone* done) {
  const bool turned = shape.geometry.stride_h == 1;  // the sizes of x and y are the same then
  const T* packed = pack_taps(w, shape.c, turned);
  const T* no_bias = nullptr;
  if (turned) {
    run_forward(shape, dx, dy, packed, no_bias, done);
  } else {
    run_backward_stride2(shape, dx, dy, packed, done);
  }
}

template <class T>
void depthwise_rows_backward_weight(const ConvShape& s, T* dw, const DepthwiseInput<T>& dy,
                                    const DepthwiseInput<T>& x) {
  const int64_t stride = s.geometry.stride_h, total = s.n * s.oh, size = 9 * s.c;
  const int64_t x_row = s.w * s.c, y_row = s.ow * s.c, bytes = static_cast<int64_t>(sizeof(T));
  const int64_t most = std::min(
      kMostRows, std::max(band_rows(x_row * bytes, y_row * bytes, stride), chunk_count(kBandPixels, s.ow)));
  const int64_t grain = std::max(chunk_rows(total), chunk_count(kPartPixels, s.ow));
  const int64_t chunks = chunk_count(total, grain);
  thread_local ConvScratch parts_memory;
  T* parts = parts_memory.take<T>(chunks * size);
  parallel_for(total, grain, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch x_memory, dy_memory;
    Rows<T> x_rows(x, x_row, s.n * s.h, most * stride + 2, x_memory);
    Rows<T> dy_rows(dy, y_row, total, most, dy_memory);
    DepthwiseRow<T> jobs[kMostRows];
    DepthwiseBand<T> band{jobs, 0, s.c, s.w, s.ow, stride, nullptr, nullptr, parts + lo / grain * size, {}};
    std::fill(band.dw, band.dw + size, T(0));
    for (int64_t i = lo; i < hi; i += band.row_count) {
      band.row_count = std::min(most, hi - i);
      for (int64_t r = 0; r < band.row_count; ++r) {
        set_inputs(jobs[r], x_rows, i + r, s.oh, s.h, stride);
        jobs[r].dy = dy_rows.row(i + r);
      }
      const int64_t next = conv_next_window(i + band.row_count - 1, hi, grain);
      band.ahead[0] = inputs_ahead(x_rows, next, band.row_count, s.oh, s.h, stride);
      band.ahead[1] = dy_rows.ahead(next, next + band.row_count);
      run_weight_rows(band);
    }
  });
  for (int64_t p = 1; p < chunks; ++p) run_add(parts, parts + p * size, size);
  for (int64_t c = 0; c < s.c; ++c) {
    for (int64_t t = 0; t < 9; ++t) dw[c * 9 + t] = parts[t * s.c + c];
  }
}

#define LATHE_INSTANTIATE(T)                                                                               \
  template bool has_depthwise_rows<T>(const ConvShape&);                                                   \
  template void depthwise_rows_forward(const ConvShape&, T*, const DepthwiseInput<T>&, const T*, const T*, \
                                       const DepthwiseDone*);                                              \
  template void depthwise_rows_backward_data(const ConvShape&, T*, const DepthwiseInput<T>&, const T*,     \
                                             const DepthwiseDone*);                                        \
  template void depthwise_rows_backward_weight(const ConvShape&, T*, const DepthwiseInput<T>&,             \
                                               const DepthwiseInput<T>&);
LATHE_INSTANTIATE(float)
LATHE_INSTANTIATE(double)
#undef LATHE_INSTANTIATE

}  // namespace lathe::cpu
