#include "core/cpu/conv_depthwise_rows.h"

#include <algorithm>

#include "core/cpu/conv_depthwise.h"
#include "core/cpu/conv_run.h"
#include "core/cpu/conv_scratch.h"
#include "core/cpu/isa_depthwise.h"

namespace lathe::cpu {
namespace {

constexpr int64_t kRing = 4;               // rows of an input that are made while they are read
constexpr int64_t kNarrowRows = 8;         // of a band
constexpr int64_t kDoneBytes = 32 * 1024;  // of rows that are told of together
constexpr int64_t kPartPixels = 64;        // of a partial sum of the weight gradient

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

/// Rows of an input, counted through all images: in place, or in a ring.
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
  for (int64_t c = 0; c < channels; ++c, w += 9) {
    for (int64_t t = 0; t < 9; ++t) packed[t * channels + c] = w[turned ? 8 - t : t];
  }
  return packed;
}

int64_t chunk_rows(int64_t rows) {
  return chunk_count(rows, std::min(rows, kDepthwiseChunks));
}

/// Sets the input rows of output row `row` (counted through all images) of a padded 3x3 kernel.
template <class T>
void set_inputs(DepthwiseRow<T>& job, Rows<T>& rows, const ConvShape& s, int64_t row) {
  const int64_t image = row / s.oh, middle = row % s.oh * s.geometry.stride_h;
  for (int64_t ky = 0; ky < 3; ++ky) {
    const int64_t u = middle + ky - 1;
    job.in[ky] = u < 0 || u >= s.h ? nullptr : rows.row(image * s.h + u);
  }
}
/// Rows of inputs that rows [lo, hi) of outputs read and row lo - 1 does not.
template <class T>
ConvAhead inputs_ahead(const Rows<T>& rows, const ConvShape& s, int64_t lo, int64_t hi) {
  const int64_t stride = s.geometry.stride_h;
  const auto first = [&](int64_t row) {
    const int64_t i = row % s.oh;
    return row / s.oh * s.h + (i == 0 ? 0 : (i - 1) * stride + 2);
  };
  return rows.ahead(first(lo), first(hi));
}
/// A row of outputs: lines that are written far apart wait for memory as reads do.
template <class T>
ConvAhead outputs_ahead(const T* y, int64_t size, int64_t lo, int64_t hi) {
  return {y + lo * size, (hi - lo) * size * static_cast<int64_t>(sizeof(T))};
}

/// Rows of a band of the weight gradient: several where they are narrow, for its visit of the sums.
int64_t band_rows(const ConvShape& s) {
  const bool narrow = s.ow == 1 || s.ow == 2 || s.ow == 4;
  return narrow && s.geometry.stride_h == 1 ? kNarrowRows : 1;
}

/// Tells `done` of rows when there are enough of them to be worth a call, at the latest at the chunk's end.
class DoneRows {
 public:
  DoneRows(const DepthwiseDone* done, int64_t chunk, int64_t first, int64_t row_bytes)
      : done_(done), chunk_(chunk), first_(first), row_bytes_(row_bytes) {}

  /// Rows before `end` are done; `last`: there will be no more.
  void reach(int64_t end, bool last) {
    if (done_ == nullptr || end == first_ || (!last && (end - first_) * row_bytes_ < kDoneBytes)) return;
    (*done_)(chunk_, first_, end);
    first_ = end;
  }

 private:
  const DepthwiseDone* done_;
  int64_t chunk_, first_, row_bytes_;
};

template <class T>
DepthwiseBand<T> band_of(const ConvShape& s, const DepthwiseRow<T>* rows) {
  DepthwiseBand<T> band;
  band.rows = rows;
  band.row_count = 1;
  band.channels = s.c;
  band.width = s.w;
  band.out_width = s.ow;
  band.stride = s.geometry.stride_h;
  return band;
}

/// The forward of x (n, h, w) to y (n, oh, ow), or backward-data of stride 1 with x = dy and packed weights
/// turned.
template <class T>
void run_forward(const ConvShape& s, T* y, const DepthwiseInput<T>& x, const T* packed, const T* bias,
                 const DepthwiseDone* done) {
  const int64_t total = s.n * s.oh, out_row = s.ow * s.c, grain = chunk_rows(total);
  parallel_for(total, grain, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch memory;
    Rows<T> rows(x, s.w * s.c, s.n * s.h, kRing, memory);
    DepthwiseRow<T> row;
    DepthwiseBand<T> band = band_of(s, &row);
    band.w = packed;
    band.bias = bias;
    DoneRows finished(done, lo / grain, lo, out_row * static_cast<int64_t>(sizeof(T)));
    for (int64_t i = lo; i < hi; ++i) {
      set_inputs(row, rows, s, i);
      row.out[0] = y + i * out_row;
      const int64_t next = std::min(conv_next_window(i, hi, grain), total - 1);
      band.ahead[0] = inputs_ahead(rows, s, next, next + 1);
      band.ahead[1] = outputs_ahead(y, out_row, next, next + 1);
      run_rows(band);
      finished.reach(i + 1, i + 1 == hi);
    }
  });
}

/// The first row of dx that row i of dy makes.
int64_t dx_row(const ConvShape& s, int64_t i) {
  return i / s.oh * s.h + i % s.oh * s.geometry.stride_h;
}
/// The pair of rows of dx of row i of dy, stride 2.
template <class T>
void set_spread(DepthwiseRow<T>& job, Rows<T>& dy, const ConvShape& s, int64_t i, T* dx) {
  const int64_t inside = i % s.oh, size = s.w * s.c;
  T* out = dx + dx_row(s, i) * size;
  job.in[0] = dy.row(i);
  job.in[1] = inside + 1 < s.oh ? dy.row(i + 1) : nullptr;
  job.out[0] = out;
  job.out[1] = 2 * inside + 1 < s.h ? out + size : nullptr;
}

/// Pairs of rows of dx.
template <class T>
void run_backward_stride2(const ConvShape& s, T* dx, const DepthwiseInput<T>& dy, const T* packed,
                          const DepthwiseDone* done) {
  const int64_t total = s.n * s.oh, out_row = s.w * s.c, grain = chunk_rows(total);
  parallel_for(total, grain, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch memory;
    Rows<T> rows(dy, s.ow * s.c, total, kRing, memory);
    DepthwiseRow<T> row;
    DepthwiseBand<T> band = band_of(s, &row);
    band.w = packed;
    DoneRows finished(done, lo / grain, dx_row(s, lo), out_row * static_cast<int64_t>(sizeof(T)));
    for (int64_t i = lo; i < hi; ++i) {
      set_spread(row, rows, s, i, dx);
      const int64_t next = std::min(conv_next_window(i, hi, grain), total - 1);
      band.ahead[0] = rows.ahead(next + 1, next + 2);
      band.ahead[1] = outputs_ahead(dx, out_row, dx_row(s, next), dx_row(s, next + 1));
      run_spread(band);
      finished.reach(dx_row(s, i + 1), i + 1 == hi);
    }
  });
}

/// Rows of dy of a partial sum of the weight gradient.
int64_t part_rows(const ConvShape& s) {
  return std::max(chunk_rows(s.n * s.oh), chunk_count(kPartPixels, s.ow));
}
/// dw (C, 9) = the sum of gradients [9][channels], added in order.
template <class T>
void add_parts(T* dw, T* parts, int64_t count, int64_t channels) {
  const int64_t size = 9 * channels;
  for (int64_t p = 1; p < count; ++p) run_add(parts, parts + p * size, size);
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t t = 0; t < 9; ++t) dw[c * 9 + t] = parts[t * channels + c];
  }
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
  const int64_t total = s.n * s.oh, size = 9 * s.c, most = band_rows(s), grain = part_rows(s);
  const int64_t chunks = chunk_count(total, grain);
  thread_local ConvScratch parts_memory;
  T* parts = parts_memory.take<T>(chunks * size);
  parallel_for(total, grain, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch x_memory, dy_memory;
    Rows<T> x_rows(x, s.w * s.c, s.n * s.h, most * s.geometry.stride_h + 2, x_memory);
    Rows<T> dy_rows(dy, s.ow * s.c, total, most, dy_memory);
    DepthwiseRow<T> jobs[kNarrowRows];
    DepthwiseBand<T> band = band_of(s, jobs);
    band.dw = parts + lo / grain * size;
    std::fill(band.dw, band.dw + size, T(0));
    for (int64_t i = lo; i < hi; i += band.row_count) {
      band.row_count = std::min(most, hi - i);
      for (int64_t r = 0; r < band.row_count; ++r) {
        set_inputs(jobs[r], x_rows, s, i + r);
        jobs[r].dy = dy_rows.row(i + r);
      }
      const int64_t next = conv_next_window(i + band.row_count - 1, hi, grain);
      band.ahead[0] = inputs_ahead(x_rows, s, next, next + band.row_count);
      band.ahead[1] = dy_rows.ahead(next, next + band.row_count);
      run_weight_rows(band);
    }
  });
  add_parts(dw, parts, chunks, s.c);
}

template <class T>
void depthwise_rows_backward(const ConvShape& s, T* dw, T* dx, const DepthwiseInput<T>& dy,
                             const DepthwiseInput<T>& x, const T* w, const DepthwiseDone* done) {
  const bool turned = s.geometry.stride_h == 1;
  const int64_t total = s.n * s.oh, size = 9 * s.c, most = band_rows(s), grain = part_rows(s);
  const int64_t chunks = chunk_count(total, grain), dx_size = s.w * s.c;
  thread_local ConvScratch parts_memory;
  T* parts = parts_memory.take<T>(chunks * size);
  const T* packed = pack_taps(w, s.c, turned);
  parallel_for(total, grain, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch x_memory, dy_memory;
    Rows<T> x_rows(x, s.w * s.c, s.n * s.h, most * s.geometry.stride_h + 2, x_memory);
    Rows<T> dy_rows(dy, s.ow * s.c, total, most + 2, dy_memory);
    DepthwiseRow<T> row, jobs[kNarrowRows];
    DepthwiseBand<T> data = band_of(s, &row), weight = band_of(s, jobs);
    data.w = packed;
    weight.dw = parts + lo / grain * size;
    std::fill(weight.dw, weight.dw + size, T(0));
    DoneRows finished(done, lo / grain, dx_row(s, lo), dx_size * static_cast<int64_t>(sizeof(T)));
    for (int64_t i = lo; i < hi; i += weight.row_count) {
      weight.row_count = std::min(most, hi - i);
      const int64_t next = std::min(conv_next_window(i + weight.row_count - 1, hi, grain), total - 1);
      data.ahead[0] = dy_rows.ahead(next + 1, next + 2);
      if (dy.beside != nullptr) {
        data.ahead[1] = data.ahead[0];
        data.ahead[1].from = dy.beside + (static_cast<const T*>(data.ahead[0].from) - dy.x);
      }
      weight.ahead[0] = inputs_ahead(x_rows, s, next, next + 1);
      weight.ahead[1] = outputs_ahead(dx, dx_size, dx_row(s, next), dx_row(s, next + 1));
      for (int64_t r = 0; r < weight.row_count; ++r) {
        if (turned) {
          set_inputs(row, dy_rows, s, i + r);
          row.out[0] = dx + (i + r) * dx_size;
          run_rows(data);
        } else {
          set_spread(row, dy_rows, s, i + r, dx);
          run_spread(data);
        }
      }
      for (int64_t r = 0; r < weight.row_count; ++r) {
        set_inputs(jobs[r], x_rows, s, i + r);
        jobs[r].dy = dy_rows.row(i + r);
      }
      run_weight_rows(weight);
      finished.reach(dx_row(s, i + weight.row_count), i + weight.row_count == hi);
    }
  });
  add_parts(dw, parts, chunks, s.c);
}

#define LATHE_INSTANTIATE(T)                                                                               \
  template bool has_depthwise_rows<T>(const ConvShape&);                                                   \
  template void depthwise_rows_forward(const ConvShape&, T*, const DepthwiseInput<T>&, const T*, const T*, \
                                       const DepthwiseDone*);                                              \
  template void depthwise_rows_backward_data(const ConvShape&, T*, const DepthwiseInput<T>&, const T*,     \
                                             const DepthwiseDone*);                                        \
  template void depthwise_rows_backward_weight(const ConvShape&, T*, const DepthwiseInput<T>&,             \
                                               const DepthwiseInput<T>&);                                  \
  template void depthwise_rows_backward(const ConvShape&, T*, T*, const DepthwiseInput<T>&,                \
                                        const DepthwiseInput<T>&, const T*, const DepthwiseDone*);
LATHE_INSTANTIATE(float)
LATHE_INSTANTIATE(double)
#undef LATHE_INSTANTIATE

}  // namespace lathe::cpu
