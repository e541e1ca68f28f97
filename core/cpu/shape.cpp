#include "core/kernels/shape.h"

#include <cstring>

#include "core/cpu/isa_elementwise.h"
#include "core/cpu/loop_nest.h"

namespace lathe::kernels::cpu {
namespace {

namespace isa = lathe::cpu;

/// Calls fn.operator()<Word>() with an unsigned word of the element's size: moving needs no more of a type.
template <class Fn>
void dispatch_word(DType dtype, const Fn& fn) {
  switch (size_of(dtype)) {
    case 8:
      return fn.template operator()<uint64_t>();
    case 4:
      return fn.template operator()<uint32_t>();
    case 2:
      return fn.template operator()<uint16_t>();
    default:
      return fn.template operator()<uint8_t>();
  }
}

/// y (rows, columns), y's row stride given, = the transpose of x (columns, rows), x's row stride given.
template <class Word>
void transpose(Word* y, int64_t y_stride, const Word* x, int64_t x_stride, int64_t rows, int64_t columns) {
  constexpr int64_t kBlock = 16;  // 16 rows of 64 bytes: both sides use whole cache lines
  for (int64_t i0 = 0; i0 < rows; i0 += kBlock) {
    const int64_t i1 = std::min(rows, i0 + kBlock);
    for (int64_t j0 = 0; j0 < columns; j0 += kBlock) {
      const int64_t j1 = std::min(columns, j0 + kBlock);
      for (int64_t i = i0; i < i1; ++i) {
        for (int64_t j = j0; j < j1; ++j) y[i * y_stride + j] = x[j * x_stride + i];
      }
    }
  }
}

/// The inner axis stays the inner axis: rows are copied whole.
template <class Word>
void permute_rows(Word* y, const Word* x, const LoopNest<1>& nest) {
  const int64_t n = nest.inner();
  parallel_for(nest.outer(1), isa::row_grain(n), [&](int64_t lo, int64_t hi) {
    for (int64_t row = lo; row < hi; ++row) {
      std::memcpy(y + row * n, x + nest.offsets(row, 1)[0], static_cast<size_t>(n) * sizeof(Word));
    }
  });
}

/// Axis `p` of the nest is x's inner axis: (p, inner) planes are transposed in bands.
template <class Word>
void permute_planes(Word* y, const Word* x, const LoopNest<1>& nest, int p) {
  constexpr int64_t kBand = 64;  // rows of y per task
  LoopNest<2> planes;            // operand 0 is y itself, 1 is x: every axis but the inner one and p
  int64_t y_stride = nest.extent[0], p_stride = 0;
  for (int i = 1; i < nest.rank; ++i) {
    if (i == p) {
      p_stride = y_stride;
    } else {
      planes.push(nest.extent[i], {y_stride, nest.stride[0][i]});
    }
    y_stride *= nest.extent[i];
  }
  const int64_t columns = nest.extent[0], rows = nest.extent[p], x_stride = nest.stride[0][0];
  const int64_t bands = chunk_count(rows, kBand);
  parallel_for(planes.outer(0) * bands, isa::row_grain(columns * std::min(rows, kBand)),
               [&](int64_t lo, int64_t hi) {
                 for (int64_t task = lo; task < hi; ++task) {
                   const auto [at_y, at_x] = planes.offsets(task / bands, 0);
                   const int64_t first = task % bands * kBand;
                   transpose(y + at_y + first * p_stride, p_stride, x + at_x + first, x_stride,
                             std::min(kBand, rows - first), columns);
                 }
               });
}

}  // namespace

void permute(Tensor& y, const Tensor& x, const std::vector<int>& axes) {
  if (x.numel() == 0) return;
  const LoopNest<1> nest = permuted_nest(y.shape(), x.shape(), axes);
  dispatch_word(x.dtype(), [&]<class Word>() {
    const auto* in = reinterpret_cast<const Word*>(x.raw());
    auto* out = reinterpret_cast<Word*>(y.raw_mut());
    if (nest.rank == 0 || nest.stride[0][0] == 1) return permute_rows(out, in, nest);
    int p = 1;
    while (nest.stride[0][p] != 1) ++p;
    permute_planes(out, in, nest, p);
  });
}

void copy_axis(Tensor& y, const Tensor& x, const AxisCopy& copy) {
  const Around to(y.shape(), copy.axis), from(x.shape(), copy.axis);
  const size_t width = size_of(x.dtype());
  const int64_t bytes = to.inner * static_cast<int64_t>(width);
  const bool whole = copy.y_step == 1 && copy.x_step == 1;  // one run of bytes per outer index
  const int64_t runs = whole ? 1 : copy.count;
  const size_t run_bytes = static_cast<size_t>(whole ? bytes * copy.count : bytes);
  if (to.outer == 0 || run_bytes == 0) return;
  const std::byte* in = x.raw();
  std::byte* out = y.raw_mut();
  parallel_for(to.outer * runs, isa::row_grain(static_cast<int64_t>(run_bytes / width)),
               [&](int64_t lo, int64_t hi) {
                 for (int64_t task = lo; task < hi; ++task) {
                   const int64_t o = task / runs, k = task % runs;
                   const int64_t at_y = o * to.extent + copy.y_begin + k * copy.y_step;
                   const int64_t at_x = o * from.extent + copy.x_begin + k * copy.x_step;
                   std::memcpy(out + at_y * bytes, in + at_x * bytes, run_bytes);
                 }
               });
}

void add_axis(Tensor& y, const Tensor& x, const AxisCopy& copy) {
  const Around to(y.shape(), copy.axis), from(x.shape(), copy.axis);
  if (to.outer == 0 || to.inner == 0) return;
  dispatch_floating(y.dtype(), "add_axis", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = y.mut<T>();
    parallel_for(to.outer, isa::row_grain(copy.count * to.inner), [&](int64_t lo, int64_t hi) {
      for (int64_t o = lo; o < hi; ++o) {
        for (int64_t k = 0; k < copy.count; ++k) {
          T* sum = out + (o * to.extent + copy.y_begin + k * copy.y_step) * to.inner;
          const T* term = in + (o * from.extent + copy.x_begin + k * copy.x_step) * to.inner;
          isa::pick<T>(isa::accumulate_f32, isa::accumulate_f64)(sum, term, to.inner);
        }
      }
    });
  });
}

void option_a_forward(Tensor& y, const Tensor& x, int64_t stride) {
  const int64_t oh = y.dim(1), ow = y.dim(2), wide = y.dim(3);
  const int64_t h = x.dim(1), w = x.dim(2), c = x.dim(3), before = (wide - c) / 2;
  dispatch_floating(y.dtype(), "option_a_shortcut", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = y.mut<T>();
    parallel_for(y.dim(0) * oh, isa::row_grain(ow * wide), [&](int64_t lo, int64_t hi) {
      for (int64_t row = lo; row < hi; ++row) {
        const T* source = in + (row / oh * h + row % oh * stride) * w * c;
        T* target = out + row * ow * wide;
        for (int64_t j = 0; j < ow; ++j, source += stride * c, target += wide) {
          std::fill_n(target, before, T(0));
          std::copy_n(source, c, target + before);
          std::fill_n(target + before + c, wide - before - c, T(0));
        }
      }
    });
  });
}

void option_a_backward(Tensor& dx, const Tensor& dy, int64_t stride) {
  const int64_t oh = dy.dim(1), ow = dy.dim(2), wide = dy.dim(3);
  const int64_t h = dx.dim(1), w = dx.dim(2), c = dx.dim(3), before = (wide - c) / 2;
  dispatch_floating(dx.dtype(), "option_a_shortcut", [&]<class T>() {
    const T* in = dy.ptr<T>();
    T* out = dx.mut<T>();
    parallel_for(dx.dim(0) * h, isa::row_grain(w * c), [&](int64_t lo, int64_t hi) {
      for (int64_t row = lo; row < hi; ++row) {
        const int64_t i = row % h;
        T* target = out + row * w * c;
        std::fill_n(target, w * c, T(0));
        if (i % stride != 0) continue;
        const T* source = in + (row / h * oh + i / stride) * ow * wide + before;
        for (int64_t j = 0; j < ow; ++j) std::copy_n(source + j * wide, c, target + j * stride * c);
      }
    });
  });
}

}  // namespace lathe::kernels::cpu
