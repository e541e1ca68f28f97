// Which code computes a convolution: a matrix product where it is one, our own kernels for depthwise ones and
// for f64, else the toolkit, and our direct kernels where the toolkit has nothing.

#include <limits>

#include "core/kernels/elementwise.h"
#include "core/kernels/matmul.h"
#include "core/math_mode.h"
#include "cuda/conv.h"
#include "cuda/convolution.h"
#include "cuda/device.cuh"
#include "cuda/dispatch.h"
#include "cuda/map.cuh"

namespace lathe {
namespace cuda {

ConvSizes::ConvSizes(const Tensor& x, const Tensor& weights, const Tensor& y, const Conv2dGeometry& g) {
  const auto narrow = [](int64_t value) {
    // Twice: positions between an image's padded borders are ints too.
    LATHE_CHECK(ShapeError, value <= std::numeric_limits<int>::max() / 2, "convolution: an extent of ", value,
                " is more than the CUDA kernels take");
    return static_cast<int>(value);
  };
  n = narrow(x.dim(0));
  h = narrow(x.dim(1));
  w = narrow(x.dim(2));
  c = narrow(x.dim(3));
  k = narrow(weights.dim(0));
  kh = narrow(weights.dim(1));
  kw = narrow(weights.dim(2));
  oh = narrow(y.dim(1));
  ow = narrow(y.dim(2));
  stride_h = narrow(g.stride_h);
  stride_w = narrow(g.stride_w);
  pad_h = narrow(g.pad_h);
  pad_w = narrow(g.pad_w);
  dilation_h = narrow(g.dilation_h);
  dilation_w = narrow(g.dilation_w);
  groups = narrow(g.groups);
  narrow(h + 2 * g.pad_h + g.dilation_h * kh);
  narrow(w + 2 * g.pad_w + g.dilation_w * kw);
}

}  // namespace cuda

namespace kernels::cuda {
namespace {

using namespace lathe::cuda;

/// y (rows, columns) += bias.
template <class T>
__global__ void add_bias(Pack<T>* y, const T* bias, int64_t packs, int64_t packs_of_row) {
  for (int64_t p = thread_index(); p < packs; p += thread_count()) {
    const int64_t first = p % packs_of_row * kPack<T>;
    Pack<T> out = y[p];
    for (int i = 0; i < kPack<T>; ++i) store(out.v, i, load(out.v, i) + load(bias, first + i));
    y[p] = out;
  }
}

void add_bias(Tensor& y, const Tensor& bias) {
  dispatch_arithmetic(y.dtype(), "conv2d_forward", [&]<class T>() {
    T* out = y.mut<T>();
    const int64_t columns = y.dim(-1);
    if (columns % kPack<T> != 0 || reinterpret_cast<uintptr_t>(out) % 16 != 0) {
      return binary(y, y, bias, BinaryOp::Add);
    }
    const int64_t packs = y.numel() / kPack<T>;
    launch(add_bias<T>, over(packs), reinterpret_cast<Pack<T>*>(out), bias.ptr<T>(), packs,
           columns / kPack<T>);
  });
}

/// A 1x1 convolution of whole pixels: y = x w^T + bias over rows of pixels.
bool is_product(const ConvSizes& s) {
  return s.kh == 1 && s.kw == 1 && s.stride_h == 1 && s.stride_w == 1 && s.pad_h == 0 && s.pad_w == 0 &&
         s.groups == 1 && s.oh == s.h && s.ow == s.w;
}
Tensor rows(const Tensor& t) {
  return t.view({t.dim(0) * t.dim(1) * t.dim(2), t.dim(3)});
}
Tensor matrix(const Tensor& w) {
  return w.view({w.dim(0), w.dim(3)});
}

/// The toolkit knows f32 and bf16, and a y as large as the window's steps over x make it: a transposed
/// convolution with much output padding has a smaller one.
bool by_toolkit(Convolution::Result result, void* x, void* w, void* y, const ConvSizes& s, DType dtype) {
  if (dtype != DType::F32 && dtype != DType::BF16) return false;
  if (s.oh != conv_out(s.h, s.kh, s.stride_h, s.pad_h, s.dilation_h)) return false;
  if (s.ow != conv_out(s.w, s.kw, s.stride_w, s.pad_w, s.dilation_w)) return false;
  Convolution p;
  p.result = result;
  p.n = s.n, p.h = s.h, p.w = s.w, p.c = s.c;
  p.k = s.k, p.kh = s.kh, p.kw = s.kw;
  p.oh = s.oh, p.ow = s.ow;
  p.stride = {s.stride_h, s.stride_w};
  p.pad = {s.pad_h, s.pad_w};
  p.dilation = {s.dilation_h, s.dilation_w};
  p.groups = s.groups;
  p.dtype = dtype;
  p.tf32 = dtype == DType::F32 && math_mode().tf32;
  p.deterministic = math_mode().deterministic;
  return convolution(p, x, w, y);
}

/// The toolkit's interface has one type of address for what it reads and what it writes.
void* address(const Tensor& t) {
  return const_cast<std::byte*>(t.raw());
}

}  // namespace

void conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Conv2dGeometry& geometry) {
  if (y.numel() == 0) return;
  const ConvSizes s(x, w, y, geometry);
  if (is_product(s)) {
    Tensor out = rows(y);
    return matmul(out, rows(x), matrix(w), bias, {.transpose_b = true});
  }
  dispatch_arithmetic(y.dtype(), "conv2d_forward", [&]<class T>() {
    T* out = y.mut<T>();
    const T* add = optional_ptr<T>(bias);
    if (is_depthwise(s)) {
      if (depthwise_forward(out, x.ptr<T>(), w.ptr<T>(), add, s)) return;
    } else if (by_toolkit(Convolution::Result::Y, address(x), address(w), out, s, y.dtype())) {
      if (bias.defined()) add_bias(y, bias);
      return;
    }
    direct_forward(out, x.ptr<T>(), w.ptr<T>(), add, s);
  });
}

void conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w, const Conv2dGeometry& geometry) {
  if (dx.numel() == 0) return;
  const ConvSizes s(dx, w, dy, geometry);
  if (is_product(s)) {
    Tensor out = rows(dx);
    return matmul(out, rows(dy), matrix(w), Tensor(), {});
  }
  dispatch_arithmetic(dx.dtype(), "conv2d_backward_data", [&]<class T>() {
    T* out = dx.mut<T>();
    if (is_depthwise(s)) {
      if (depthwise_backward_data(out, dy.ptr<T>(), w.ptr<T>(), s)) return;
    } else if (by_toolkit(Convolution::Result::X, out, address(w), address(dy), s, dx.dtype())) {
      return;
    }
    direct_backward_data(out, dy.ptr<T>(), w.ptr<T>(), s);
  });
}

void conv2d_backward_weight(Tensor& dw, const Tensor& dy, const Tensor& x, const Conv2dGeometry& geometry) {
  if (dw.numel() == 0) return;
  if (dy.numel() == 0) return fill(dw, 0);
  const ConvSizes s(x, dw, dy, geometry);
  if (is_product(s)) {
    Tensor out = matrix(dw);
    return matmul(out, rows(dy), rows(x), Tensor(), {.transpose_a = true});
  }
  dispatch_arithmetic(dw.dtype(), "conv2d_backward_weight", [&]<class T>() {
    T* out = dw.mut<T>();
    if (is_depthwise(s)) {
      if (depthwise_backward_weight(out, dy.ptr<T>(), x.ptr<T>(), s)) return;
    } else if (by_toolkit(Convolution::Result::Weights, address(x), out, address(dy), s, dw.dtype())) {
      return;
    }
    direct_backward_weight(out, dy.ptr<T>(), x.ptr<T>(), s);
  });
}

}  // namespace kernels::cuda
}  // namespace lathe
