#include "core/cpu/conv_depthwise_rows.h"

#include <algorithm>

#include "core/cpu/conv_depthwise.h"
#include "core/cpu/conv_depthwise_parts.h"
#include "core/cpu/conv_run.h"

namespace lathe::cpu {
namespace {

constexpr int64_t kPartPixels = 64;  // of a partial sum of the weight gradient

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
  /// Of a row that will be made or read; null: there is none.
  const T* ahead(int64_t row) const { return row < count_ ? input_.x + row * size_ : nullptr; }
  const T* ahead_beside(int64_t row) const {
    return input_.beside != nullptr && row < count_ ? input_.beside + row * size_ : nullptr;
  }

 private:
  const DepthwiseInput<T>& input_;
  int64_t size_, count_, slots_;
  T* ring_ = nullptr;
  int64_t filled_ = 0;
};

int64_t chunk_rows(int64_t rows) {
  return chunk_count(rows, std::min(rows, kDepthwiseChunks));
}

/// Rows of an input that are made while they are read.
int64_t ring_rows(const ConvShape& s) {
  return s.kh + 1;
}

template <class T>
void add_input(DepthwiseBand<T>& band, const T* in, int64_t ky) {
  DepthwiseRow<T>& row = band.row;
  row.in[row.count] = in;
  row.w[row.count++] = ky * band.kernel * band.slots;
}
/// Sets the input rows of output row `row`, counted through all images.
template <class T>
void set_inputs(DepthwiseBand<T>& band, Rows<T>& rows, const ConvShape& s, int64_t row) {
  const int64_t first = row / s.oh * s.h, top = row % s.oh * s.geometry.stride_h - s.geometry.pad_h;
  band.row.count = 0;
  for (int64_t ky = 0; ky < s.kh; ++ky) {
    if (const int64_t u = top + ky; u >= 0 && u < s.h) add_input(band, rows.row(first + u), ky);
  }
}
template <class T>
void set_ahead(DepthwiseBand<T>& band, const Rows<T>& rows, int64_t row) {
  band.ahead[0] = rows.ahead(row);
  band.ahead[1] = rows.ahead_beside(row);
}
/// Prefetches the rows of inputs that output row `row` reads and the row before it does not.
template <class T>
void set_ahead(DepthwiseBand<T>& band, const Rows<T>& rows, const ConvShape& s, int64_t row) {
  const int64_t i = row % s.oh, stride = s.geometry.stride_h, last = i * stride + s.geometry.pad_h;
  const int64_t first = row / s.oh * s.h + std::min(std::max<int64_t>(last - stride + 1, 0), s.h - 1);
  band.ahead[0] = row < s.n * s.oh ? rows.ahead(first) : nullptr;
  band.ahead[1] = stride == 2 && row < s.n * s.oh ? rows.ahead(first + 1) : rows.ahead_beside(first);
}

template <class T>
DepthwiseBand<T> band_of(const ConvShape& s, const DepthwisePacked<T>& packed) {
  DepthwiseBand<T> band;
  band.channels = s.c;
  band.width = s.w;
  band.out_width = s.ow;
  band.kernel = s.kh;
  band.stride = s.geometry.stride_h;
  band.slots = depthwise_slots<T>(s);
  band.w = packed.w;
  band.bias = packed.bias;
  return band;
}

/// The forward of x (n, h, w) to y (n, oh, ow), or backward-data of stride 1 with x = dy and packed weights
/// turned.
template <class T>
void run_forward(const ConvShape& s, T* y, const DepthwiseInput<T>& x, const DepthwisePacked<T>& packed,
                 const DepthwiseDone* done) {
  const int64_t total = s.n * s.oh, out_row = s.ow * s.c, grain = chunk_rows(total);
  parallel_for(total, grain, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch memory;
    Rows<T> rows(x, s.w * s.c, s.n * s.h, ring_rows(s), memory);
    DepthwiseBand<T> band = band_of(s, packed);
    DepthwiseDoneRows finished(done, lo / grain, lo, out_row * static_cast<int64_t>(sizeof(T)));
    for (int64_t i = lo; i < hi; ++i) {
      set_inputs(band, rows, s, i);
      band.row.out = y + i * out_row;
      set_ahead(band, rows, s, conv_next_window(i, hi, grain));
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
void spread_row(DepthwiseBand<T>& band, Rows<T>& dy, const ConvShape& s, int64_t i, T* dx) {
  const int64_t first = i / s.oh * s.oh, inside = 2 * (i - first);
  for (int64_t u = inside; u < std::min(inside + 2, s.h); ++u) {
    band.row.count = 0;
    for (int64_t ky = s.kh - 1; ky >= 0; --ky) {
      const int64_t from = u + s.geometry.pad_h - ky;
      if (from >= 0 && from % 2 == 0 && from / 2 < s.oh) add_input(band, dy.row(first + from / 2), ky);
    }
    band.row.out = dx + (dx_row(s, i) + u - inside) * s.w * s.c;
    run_spread(band);
    band.ahead[0] = band.ahead[1] = nullptr;
  }
}

/// Pairs of rows of dx.
template <class T>
void run_backward_stride2(const ConvShape& s, T* dx, const DepthwiseInput<T>& dy,
                          const DepthwisePacked<T>& packed, const DepthwiseDone* done) {
  const int64_t total = s.n * s.oh, out_row = s.w * s.c, grain = chunk_rows(total);
  parallel_for(total, grain, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch memory;
    Rows<T> rows(dy, s.ow * s.c, total, ring_rows(s), memory);
    DepthwiseBand<T> band = band_of(s, packed);
    DepthwiseDoneRows finished(done, lo / grain, dx_row(s, lo), out_row * static_cast<int64_t>(sizeof(T)));
    for (int64_t i = lo; i < hi; ++i) {
      set_ahead(band, rows, conv_next_window(i, hi, grain) + 1);
      spread_row(band, rows, s, i, dx);
      finished.reach(dx_row(s, i + 1), i + 1 == hi);
    }
  });
}

/// Rows of dy of a partial sum of the weight gradient.
int64_t part_rows(const ConvShape& s) {
  return std::max(chunk_rows(s.n * s.oh), chunk_count(kPartPixels, s.ow));
}
}  // namespace

template <class T>
bool has_depthwise_rows(const ConvShape& s) {
  const Conv2dGeometry& g = s.geometry;
  const bool small = (s.kh == 3 || s.kh == 5) && s.kw == s.kh && g.pad_h == s.kh / 2 && g.pad_w == g.pad_h;
  return is_depthwise(s) && s.k == s.c && small && g.stride_h == g.stride_w && g.stride_h <= 2 &&
         g.dilation_h == 1 && g.dilation_w == 1 && s.c >= depthwise_lanes<T>() && s.n > 0;
}

template <class T>
void depthwise_rows_forward(const ConvShape& shape, T* y, const DepthwiseInput<T>& x, const T* w,
                            const T* bias, const DepthwiseDone* done) {
  if (has_depthwise_images(shape)) return depthwise_images_forward(shape, y, x, w, bias, done);
  run_forward(shape, y, x, pack_depthwise(shape, w, bias, false), done);
}

template <class T>
void depthwise_rows_backward_data(const ConvShape& shape, T* dx, const DepthwiseInput<T>& dy, const T* w,
                                  const DepthwiseDone* done) {
  if (has_depthwise_images(shape)) return depthwise_images_backward_data(shape, dx, dy, w, done);
  const bool turned = shape.geometry.stride_h == 1;  // the sizes of x and y are the same then
  const T* no_bias = nullptr;
  const DepthwisePacked<T> packed = pack_depthwise(shape, w, no_bias, turned);
  turned ? run_forward(shape, dx, dy, packed, done) : run_backward_stride2(shape, dx, dy, packed, done);
}

template <class T>
void depthwise_rows_backward_weight(const ConvShape& s, T* dw, const DepthwiseInput<T>& dy,
                                    const DepthwiseInput<T>& x) {
  if (has_depthwise_images(s)) {
    T* no_dx = nullptr;
    const T* no_w = nullptr;
    return depthwise_images_backward(s, dw, no_dx, dy, x, no_w, nullptr);
  }
  const int64_t total = s.n * s.oh, size = s.taps() * depthwise_slots<T>(s), grain = part_rows(s);
  const int64_t chunks = chunk_count(total, grain);
  thread_local ConvScratch parts_memory;
  T* parts = parts_memory.take<T>(chunks * size);
  parallel_for(total, grain, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch x_memory, dy_memory;
    Rows<T> x_rows(x, s.w * s.c, s.n * s.h, ring_rows(s), x_memory);
    Rows<T> dy_rows(dy, s.ow * s.c, total, 1, dy_memory);
    DepthwiseBand<T> band = band_of(s, DepthwisePacked<T>{});
    band.dw = parts + lo / grain * size;
    std::fill(band.dw, band.dw + size, T(0));
    for (int64_t i = lo; i < hi; ++i) {
      set_inputs(band, x_rows, s, i);
      band.row.dy = dy_rows.row(i);
      const int64_t next = conv_next_window(i, hi, grain);
      set_ahead(band, x_rows, s, next);
      band.ahead_dy = dy_rows.ahead(next);
      run_weight_rows(band);
    }
  });
  add_depthwise_parts(s, dw, parts, chunks);
}

template <class T>
void depthwise_rows_backward(const ConvShape& s, T* dw, T* dx, const DepthwiseInput<T>& dy,
                             const DepthwiseInput<T>& x, const T* w, const DepthwiseDone* done) {
  if (has_depthwise_images(s)) return depthwise_images_backward(s, dw, dx, dy, x, w, done);
  const bool turned = s.geometry.stride_h == 1;
  const int64_t total = s.n * s.oh, size = s.taps() * depthwise_slots<T>(s), grain = part_rows(s);
  const int64_t chunks = chunk_count(total, grain), dx_size = s.w * s.c;
  thread_local ConvScratch parts_memory;
  T* parts = parts_memory.take<T>(chunks * size);
  const T* no_bias = nullptr;
  const DepthwisePacked<T> packed = pack_depthwise(s, w, no_bias, turned);
  parallel_for(total, grain, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch x_memory, dy_memory;
    Rows<T> x_rows(x, s.w * s.c, s.n * s.h, ring_rows(s), x_memory);
    Rows<T> dy_rows(dy, s.ow * s.c, total, ring_rows(s), dy_memory);
    DepthwiseBand<T> data = band_of(s, packed), weight = band_of(s, packed);
    weight.dw = parts + lo / grain * size;
    std::fill(weight.dw, weight.dw + size, T(0));
    DepthwiseDoneRows finished(done, lo / grain, dx_row(s, lo), dx_size * static_cast<int64_t>(sizeof(T)));
    for (int64_t i = lo; i < hi; ++i) {
      const int64_t next = conv_next_window(i, hi, grain);
      set_ahead(data, dy_rows, next + s.geometry.pad_h);
      set_ahead(weight, x_rows, s, next);
      if (turned) {
        set_inputs(data, dy_rows, s, i);
        data.row.out = dx + i * dx_size;
        run_rows(data);
      } else {
        spread_row(data, dy_rows, s, i, dx);
      }
      set_inputs(weight, x_rows, s, i);
      weight.row.dy = dy_rows.row(i);
      run_weight_rows(weight);
      finished.reach(dx_row(s, i + 1), i + 1 == hi);
    }
  });
  add_depthwise_parts(s, dw, parts, chunks);
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
