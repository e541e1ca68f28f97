#include "core/cpu/conv_depthwise_rows.h"

#include <algorithm>

#include "core/cpu/conv_depthwise.h"
#include "core/cpu/conv_depthwise_parts.h"
#include "core/cpu/conv_run.h"

namespace lathe::cpu {
namespace {

constexpr int64_t kPartPixels = 64;         // of a partial sum of the weight gradient
constexpr int64_t kBlockBytes = 28 * 1024;  // of columns of rows of x and dy that stay in L1
constexpr int64_t kPassBytes = 256 * 1024;  // of rows that are read before other columns of them
constexpr int64_t kLeastColumns = 8;

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
template <class T, class Job>
void set_ahead(Job& band, const Rows<T>& rows, const ConvShape& s, int64_t row) {
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

/// Columns of a block of the weight gradient: four rows of x and two of dy stay in L1. 0: no blocks.
template <class T>
int64_t weight_columns(const ConvShape& s) {
  if (s.kh != 3) return 0;
  if (s.geometry.stride_h == 2) return s.ow;
  const int64_t columns = kBlockBytes / (6 * s.c * static_cast<int64_t>(sizeof(T)));
  return columns / kLeastColumns * kLeastColumns;
}
template <class T>
int64_t weight_blocks(const ConvShape& s) {
  const int64_t columns = weight_columns<T>(s);
  return columns == 0 ? 1 : chunk_count(s.ow, columns);
}

/// Adds gradients of the weights of rows of dy to dw, [block][tap][slot].
template <class T>
class WeightRows {
 public:
  WeightRows(const ConvShape& s, Rows<T>& x, Rows<T>& dy, T* dw)
      : s_(s), x_(x), dy_(dy), dw_(dw), columns_(weight_columns<T>(s)) {
    std::fill(dw, dw + weight_blocks<T>(s) * s.taps() * depthwise_slots<T>(s), T(0));
    row_.channels = s.c;
    row_.slots = depthwise_slots<T>(s);
    row_.width = s.w;
    row_.stride = s.geometry.stride_h;
  }

  /// Row i; row `next` will come after it. `both`: dy is prefetched too.
  void add(int64_t i, int64_t next, bool both) {
    if (columns_ == 0) return add_whole(i, next, both);
    for (int64_t column = 0; column < s_.ow; column += columns_) add_block(i, column, next, both);
  }

  /// Rows [lo, hi) of a task, in place: a block of columns of some rows after the other.
  void add_all(int64_t lo, int64_t hi, int64_t grain) {
    const int64_t bytes = (s_.w + s_.ow) * s_.c * static_cast<int64_t>(sizeof(T));
    const int64_t most = columns_ == 0 ? 1 : std::max<int64_t>(kPassBytes / bytes, 1);
    for (int64_t first = lo; first < hi; first += most) {
      const int64_t end = std::min(first + most, hi), next = conv_next_window(end - 1, hi, grain);
      if (columns_ == 0) add_whole(first, next, true);
      for (int64_t column = 0; columns_ > 0 && column < s_.ow; column += columns_) {
        const int64_t after = column + columns_ < s_.ow ? first : next;
        for (int64_t i = first; i < end; ++i) add_block(i, column, i + 1 < end ? i + 1 : after, true);
      }
    }
  }

 private:
  void add_block(int64_t i, int64_t column, int64_t next, bool both) {
    const int64_t image = i / s_.oh * s_.h, top = i % s_.oh * s_.geometry.stride_h - 1;
    for (int64_t ky = 0; ky < 3; ++ky) {
      row_.in[ky] = top + ky >= 0 && top + ky < s_.h ? x_.row(image + top + ky) : nullptr;
    }
    row_.dy = dy_.row(i);
    set_ahead(row_, x_, s_, next);
    row_.ahead_dy = both ? dy_.ahead(next) : nullptr;
    row_.first_column = column;
    row_.last_column = std::min(column + columns_, s_.ow);
    row_.dw = dw_ + column / columns_ * 9 * row_.slots;
    by_type<T>(depthwise_weight_row_f32, depthwise_weight_row_f64)(row_);
  }
  void add_whole(int64_t i, int64_t next, bool both) {
    DepthwiseBand<T> band = band_of(s_, DepthwisePacked<T>{});
    band.dw = dw_;
    set_inputs(band, x_, s_, i);
    band.row.dy = dy_.row(i);
    set_ahead(band, x_, s_, next);
    if (both) band.ahead_dy = dy_.ahead(next);
    by_type<T>(depthwise_weight_rows_f32, depthwise_weight_rows_f64)(band);
  }

  const ConvShape& s_;
  Rows<T>&x_, &dy_;
  T* const dw_;
  const int64_t columns_;
  DepthwiseWeightRow<T> row_;
};

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
      by_type<T>(depthwise_rows_f32, depthwise_rows_f64)(band);
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
    by_type<T>(depthwise_spread_f32, depthwise_spread_f64)(band);
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
  const int64_t total = s.n * s.oh, blocks = weight_blocks<T>(s), grain = part_rows(s);
  const int64_t size = blocks * s.taps() * depthwise_slots<T>(s), chunks = chunk_count(total, grain);
  thread_local ConvScratch parts_memory;
  T* parts = parts_memory.take<T>(chunks * size);
  parallel_for(total, grain, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch x_memory, dy_memory;
    Rows<T> x_rows(x, s.w * s.c, s.n * s.h, ring_rows(s), x_memory);
    Rows<T> dy_rows(dy, s.ow * s.c, total, 1, dy_memory);
    WeightRows<T> weight(s, x_rows, dy_rows, parts + lo / grain * size);
    if (x.fill == nullptr && dy.fill == nullptr) return weight.add_all(lo, hi, grain);
    for (int64_t i = lo; i < hi; ++i) weight.add(i, conv_next_window(i, hi, grain), true);
  });
  add_depthwise_parts(s, dw, parts, chunks * blocks);
}

template <class T>
void depthwise_rows_backward(const ConvShape& s, T* dw, T* dx, const DepthwiseInput<T>& dy,
                             const DepthwiseInput<T>& x, const T* w, const DepthwiseDone* done) {
  if (has_depthwise_images(s)) return depthwise_images_backward(s, dw, dx, dy, x, w, done);
  const bool turned = s.geometry.stride_h == 1;
  const int64_t total = s.n * s.oh, blocks = weight_blocks<T>(s), grain = part_rows(s);
  const int64_t size = blocks * s.taps() * depthwise_slots<T>(s), chunks = chunk_count(total, grain),
                dx_size = s.w * s.c;
  thread_local ConvScratch parts_memory;
  T* parts = parts_memory.take<T>(chunks * size);
  const T* no_bias = nullptr;
  const DepthwisePacked<T> packed = pack_depthwise(s, w, no_bias, turned);
  parallel_for(total, grain, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch x_memory, dy_memory;
    Rows<T> x_rows(x, s.w * s.c, s.n * s.h, ring_rows(s), x_memory);
    Rows<T> dy_rows(dy, s.ow * s.c, total, ring_rows(s), dy_memory);
    DepthwiseBand<T> data = band_of(s, packed);
    WeightRows<T> weight(s, x_rows, dy_rows, parts + lo / grain * size);
    DepthwiseDoneRows finished(done, lo / grain, dx_row(s, lo), dx_size * static_cast<int64_t>(sizeof(T)));
    for (int64_t i = lo; i < hi; ++i) {
      const int64_t next = conv_next_window(i, hi, grain);
      set_ahead(data, dy_rows, next + s.geometry.pad_h);
      if (turned) {
        set_inputs(data, dy_rows, s, i);
        data.row.out = dx + i * dx_size;
        by_type<T>(depthwise_rows_f32, depthwise_rows_f64)(data);
      } else {
        spread_row(data, dy_rows, s, i, dx);
      }
      weight.add(i, next, false);
      finished.reach(dx_row(s, i + 1), i + 1 == hi);
    }
  });
  add_depthwise_parts(s, dw, parts, chunks * blocks);
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
