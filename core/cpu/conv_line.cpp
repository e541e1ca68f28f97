#include "core/cpu/conv_line.h"

#include <algorithm>

#include "core/cpu/by_type.h"
#include "core/cpu/gemm.h"
#include "core/cpu/isa_elementwise.h"
#include "core/tensor.h"

namespace lathe::cpu {
namespace {

// Rows of an image from which a product of its own pays: below, packing the weights once an image costs more
// than copying the rows of all images together.
constexpr int64_t kOwnProduct = 512;
// Elements of x that a task gathers or adds up.
constexpr int64_t kGrain = 1 << 15;

/// The matrix whose rows are windows.
struct Line {
  int64_t images, rows;  // of each image
  int64_t step, width;   // elements from row to row, and of a row
  int64_t image_x;       // elements of an image of x
  int64_t outputs;       // k

  explicit Line(const ConvShape& s)
      : images(s.n),
        rows(s.ow),
        step(s.geometry.stride_w * s.c),
        width(s.kw * s.c),
        image_x(s.w * s.c),
        outputs(s.k) {}
  bool gathers() const { return images > 1 && rows < kOwnProduct; }
  int64_t all_rows() const { return images * rows; }
};

/// Calls fn(row of all, its window's first element in x) in parallel.
template <class Fn>
void for_rows(const Line& line, const Fn& fn) {
  parallel_for(line.all_rows(), std::max<int64_t>(1, kGrain / line.width), [&](int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; ++i) fn(i, i / line.rows * line.image_x + i % line.rows * line.step);
  });
}

/// (images * rows, width), copied.
template <class T>
Tensor gathered(const Line& line, const T* x) {
  Tensor windows = Tensor::empty({line.all_rows(), line.width}, dtype_of<T>());
  T* to = windows.mut<T>();
  for_rows(line, [&](int64_t i, int64_t at) { std::copy_n(x + at, line.width, to + i * line.width); });
  return windows;
}

/// dx of one image = the windows of `products` (rows, width) added up, in the order of the windows.
template <class T>
void add_windows(const Line& line, T* dx, const T* products) {
  std::fill_n(dx, line.image_x, T(0));
  for (int64_t i = 0; i < line.rows; ++i)
    by_type<T>(accumulate_f32, accumulate_f64)(dx + i * line.step, products + i * line.width, line.width);
}

}  // namespace

bool conv_is_line(const ConvShape& s, const Conv2dGeometry& g) {
  return s.h == 1 && s.kh == 1 && s.kw > 1 && g.pad_h == 0 && g.pad_w == 0 && g.dilation_w == 1 &&
         g.groups == 1 && s.ow > 0;
}

template <Floating T>
void conv_line_forward(const ConvShape& shape, T* y, const T* x, const T* w, const T* bias) {
  const Line line(shape);
  GemmShape product{.m = line.rows,
                    .n = line.outputs,
                    .k = line.width,
                    .transpose_b = true,
                    .lda = line.step,
                    .ldb = line.width,
                    .ldc = line.outputs};
  if (line.gathers()) {
    const Tensor windows = gathered(line, x);
    product.m = line.all_rows();
    product.lda = line.width;
    return gemm<T>(y, windows.ptr<T>(), w, product, {.bias = bias});
  }
  for (int64_t i = 0; i < line.images; ++i)
    gemm<T>(y + i * line.rows * line.outputs, x + i * line.image_x, w, product, {.bias = bias});
}

template <Floating T>
void conv_line_data(const ConvShape& shape, T* dx, const T* dy, const T* w) {
  const Line line(shape);
  GemmShape product{.m = line.rows,
                    .n = line.width,
                    .k = line.outputs,
                    .lda = line.outputs,
                    .ldb = line.width,
                    .ldc = line.width};
  if (line.gathers()) {
    product.m = line.all_rows();
    Tensor windows = Tensor::empty({line.all_rows(), line.width}, dtype_of<T>());
    gemm<T>(windows.mut<T>(), dy, w, product);
    parallel_for(line.images, 1, [&](int64_t lo, int64_t hi) {
      for (int64_t i = lo; i < hi; ++i)
        add_windows(line, dx + i * line.image_x, windows.ptr<T>() + i * line.rows * line.width);
    });
    return;
  }
  // Parts of the windows that do not overlap, one after another: rows of dx `step` apart.
  product.accumulate = true;
  product.ldc = line.step;
  for (int64_t i = 0; i < line.images; ++i) {
    T* image = dx + i * line.image_x;
    parallel_for(line.image_x, kGrain,
                 [&](int64_t lo, int64_t hi) { std::fill(image + lo, image + hi, T(0)); });
    for (int64_t part = 0; part < line.width; part += line.step) {
      product.n = std::min(line.step, line.width - part);
      gemm<T>(image + part, dy + i * line.rows * line.outputs, w + part, product);
    }
  }
}

template <Floating T>
void conv_line_weight(const ConvShape& shape, T* dw, const T* dy, const T* x) {
  const Line line(shape);
  GemmShape product{.m = line.outputs,
                    .n = line.width,
                    .k = line.rows,
                    .transpose_a = true,
                    .lda = line.outputs,
                    .ldb = line.step,
                    .ldc = line.width};
  if (line.gathers()) {
    const Tensor windows = gathered(line, x);
    product.k = line.all_rows();
    product.ldb = line.width;
    return gemm<T>(dw, dy, windows.ptr<T>(), product);
  }
  if (line.images == 0) std::fill_n(dw, line.outputs * line.width, T(0));
  for (int64_t i = 0; i < line.images; ++i) {
    product.accumulate = i > 0;
    gemm<T>(dw, dy + i * line.rows * line.outputs, x + i * line.image_x, product);
  }
}

template void conv_line_forward(const ConvShape&, float*, const float*, const float*, const float*);
template void conv_line_forward(const ConvShape&, double*, const double*, const double*, const double*);
template void conv_line_data(const ConvShape&, float*, const float*, const float*);
template void conv_line_data(const ConvShape&, double*, const double*, const double*);
template void conv_line_weight(const ConvShape&, float*, const float*, const float*);
template void conv_line_weight(const ConvShape&, double*, const double*, const double*);

}  // namespace lathe::cpu
