#include "autograd/ops/conv.h"

#include <algorithm>
#include <array>

#include "autograd/ops/optional.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/matmul.h"

namespace lathe {
namespace {

/// A convolution of any rank as the kernels see it; `y` is the shape of the op's own output.
struct Call {
  const char* op;
  Conv2dGeometry geometry;
  Shape x4, w4, y4, y;
};

void check_geometry(const char* op, const Conv2dGeometry& g) {
  LATHE_CHECK(ShapeError, g.stride_h >= 1 && g.stride_w >= 1, op, ": stride must be at least 1, found (",
              g.stride_h, ", ", g.stride_w, ")");
  LATHE_CHECK(ShapeError, g.pad_h >= 0 && g.pad_w >= 0, op, ": padding must not be negative, found (",
              g.pad_h, ", ", g.pad_w, ")");
  LATHE_CHECK(ShapeError, g.dilation_h >= 1 && g.dilation_w >= 1, op,
              ": dilation must be at least 1, found (", g.dilation_h, ", ", g.dilation_w, ")");
  LATHE_CHECK(ShapeError, g.groups >= 1, op, ": groups must be at least 1, found ", g.groups);
}

/// What every convolution asks of its operands: ranks, one dtype, a bias of `outputs` values.
void check_operands(const char* op, int rank, const Tensor& x, const Tensor& w, const Tensor& bias) {
  LATHE_CHECK(ShapeError, x.rank() == rank && w.rank() == rank, op, ": input and weight need ", rank,
              " axes, found ", x.shape(), " and ", w.shape());
  LATHE_CHECK(DTypeError, x.dtype() == w.dtype(), op, ": input is ", x.dtype(), ", weight ", w.dtype());
  if (bias.defined()) {
    LATHE_CHECK(DTypeError, x.dtype() == bias.dtype(), op, ": input is ", x.dtype(), ", bias ", bias.dtype());
  }
}

void check_bias(const char* op, const Var& bias, int64_t outputs) {
  LATHE_CHECK(ShapeError, !bias.defined() || bias.shape() == Shape({outputs}), op, ": bias is ", bias.shape(),
              ", expected (", outputs, ") for ", outputs, " output channels");
}

/// (N, OH, OW, K) of the convolution of x4 with w4.
Shape conv_shape(const char* op, const Shape& x, const Shape& w, const Conv2dGeometry& g) {
  check_geometry(op, g);
  LATHE_CHECK(ShapeError, x[3] == w[3] * g.groups, op, ": input has ", x[3], " channels, weight ", w,
              " expects ", w[3] * g.groups, " in ", g.groups, " groups");
  LATHE_CHECK(ShapeError, w[0] % g.groups == 0, op, ": ", w[0], " output channels do not divide into ",
              g.groups, " groups");
  LATHE_CHECK(ShapeError, w.numel() > 0, op, ": weight ", w, " has no elements");
  const int64_t oh = conv_out(x[1], w[1], g.stride_h, g.pad_h, g.dilation_h);
  const int64_t ow = conv_out(x[2], w[2], g.stride_w, g.pad_w, g.dilation_w);
  LATHE_CHECK(ShapeError, oh >= 1 && ow >= 1, op, ": the window of weight ", w, ", dilation (", g.dilation_h,
              ", ", g.dilation_w, "), does not fit into input ", x, " with padding (", g.pad_h, ", ", g.pad_w,
              ")");
  return {x[0], oh, ow, w[0]};
}

Var run_conv(Call call, const Var& x, const Var& w, const Var& bias) {
  Tensor y = x.data().empty_like(call.y);
  Tensor y4 = y.view(call.y4);
  kernels::conv2d_forward(y4, x.data().view(call.x4), w.data().view(call.w4), data_or_none(bias),
                          call.geometry);
  const char* op = call.op;
  const OpInfo info{.macs = conv2d_macs(call.y4, call.w4)};
  return record(
      op, std::move(y), {x, w, bias}, Saved{x.data(), w.data()},
      [call = std::move(call)](Backward& b) {
        const Tensor dy = b.dy().view(call.y4);
        if (b.wants(0)) {
          Tensor dx = b.dx(0).view(call.x4);
          kernels::conv2d_backward_data(dx, dy, b.saved(1).view(call.w4), call.geometry);
        }
        if (b.wants(1)) {
          Tensor dw = b.dx(1).view(call.w4);
          kernels::conv2d_backward_weight(dw, dy, b.saved(0).view(call.x4), call.geometry);
        }
        if (b.wants(2)) kernels::column_sum(b.dx(2), dy);
      },
      info);
}

/// The adjoint: the convolution maps y4 to x4.
Var run_transpose(Call call, const Var& x, const Var& w, const Var& bias) {
  Tensor y = x.data().empty_like(call.y);
  Tensor y4 = y.view(call.y4);
  kernels::conv2d_backward_data(y4, x.data().view(call.x4), w.data().view(call.w4), call.geometry);
  if (bias.defined()) kernels::binary(y, y, bias.data(), BinaryOp::Add);
  const char* op = call.op;
  const OpInfo info{.macs = conv2d_macs(call.x4, call.w4)};
  return record(
      op, std::move(y), {x, w, bias}, Saved{x.data(), w.data()},
      [call = std::move(call)](Backward& b) {
        const Tensor dy = b.dy().view(call.y4);
        if (b.wants(0)) {
          Tensor dx = b.dx(0).view(call.x4);
          kernels::conv2d_forward(dx, dy, b.saved(1).view(call.w4), Tensor(), call.geometry);
        }
        if (b.wants(1)) {
          Tensor dw = b.dx(1).view(call.w4);
          kernels::conv2d_backward_weight(dw, b.saved(0).view(call.x4), dy, call.geometry);
        }
        if (b.wants(2)) kernels::column_sum(b.dx(2), dy);
      },
      info);
}

int64_t transposed_out(int64_t n, int64_t k, int64_t stride, int64_t pad, int64_t dilation) {
  return (n - 1) * stride - 2 * pad + dilation * (k - 1) + 1;
}

/// (N, OH, OW, K) of the transposed convolution of x4 with w4.
Shape transpose_shape(const char* op, const Shape& x, const Shape& w,
                      const ConvTranspose2dGeometry& geometry) {
  const Conv2dGeometry& g = geometry.conv;
  check_geometry(op, g);
  LATHE_CHECK(ShapeError, x[3] == w[0], op, ": input has ", x[3], " channels, weight ", w, " expects ", w[0]);
  LATHE_CHECK(ShapeError, x[3] % g.groups == 0, op, ": ", x[3], " input channels do not divide into ",
              g.groups, " groups");
  LATHE_CHECK(ShapeError, w.numel() > 0 && x[1] > 0 && x[2] > 0, op, ": input ", x, " or weight ", w,
              " has no elements");
  LATHE_CHECK(
      ShapeError,
      geometry.output_padding_h >= 0 && geometry.output_padding_h < std::max(g.stride_h, g.dilation_h) &&
          geometry.output_padding_w >= 0 && geometry.output_padding_w < std::max(g.stride_w, g.dilation_w),
      op, ": output padding (", geometry.output_padding_h, ", ", geometry.output_padding_w,
      ") must be less than the stride or the dilation");
  const int64_t oh =
      transposed_out(x[1], w[1], g.stride_h, g.pad_h, g.dilation_h) + geometry.output_padding_h;
  const int64_t ow =
      transposed_out(x[2], w[2], g.stride_w, g.pad_w, g.dilation_w) + geometry.output_padding_w;
  LATHE_CHECK(ShapeError, oh >= 1 && ow >= 1, op, ": padding (", g.pad_h, ", ", g.pad_w,
              ") leaves nothing of the output for input ", x, " and weight ", w);
  return {x[0], oh, ow, w[3] * g.groups};
}

/// (N, T, C) as (N, 1, T, C), for sequences and for their weights (K, k, C).
Shape raised(const Shape& s) {
  return {s[0], 1, s[1], s[2]};
}

}  // namespace

Shape conv2d_shape(const Tensor& x, const Tensor& w, const Conv2dGeometry& geometry) {
  check_operands("conv2d", 4, x, w, Tensor());
  return conv_shape("conv2d", x.shape(), w.shape(), geometry);
}

int64_t conv2d_macs(const Shape& y, const Shape& w) {
  return y.numel() * w[1] * w[2] * w[3];
}

Var conv2d(const Var& x, const Var& w, const Var& bias, const Conv2dGeometry& geometry) {
  check_operands("conv2d", 4, x.data(), w.data(), data_or_none(bias));
  const Shape y = conv_shape("conv2d", x.shape(), w.shape(), geometry);
  check_bias("conv2d", bias, y[3]);
  return run_conv({"conv2d", geometry, x.shape(), w.shape(), y, y}, x, w, bias);
}

Var conv1d(const Var& x, const Var& w, const Var& bias, const Conv1dGeometry& geometry) {
  check_operands("conv1d", 3, x.data(), w.data(), data_or_none(bias));
  const Conv2dGeometry g{.stride_w = geometry.stride,
                         .pad_w = geometry.padding,
                         .dilation_w = geometry.dilation,
                         .groups = geometry.groups};
  const Shape x4 = raised(x.shape()), w4 = raised(w.shape());
  const Shape y4 = conv_shape("conv1d", x4, w4, g);
  check_bias("conv1d", bias, y4[3]);
  return run_conv({"conv1d", g, x4, w4, y4, Shape{y4[0], y4[2], y4[3]}}, x, w, bias);
}

Var conv_transpose2d(const Var& x, const Var& w, const Var& bias, const ConvTranspose2dGeometry& geometry) {
  check_operands("conv_transpose2d", 4, x.data(), w.data(), data_or_none(bias));
  const Shape y = transpose_shape("conv_transpose2d", x.shape(), w.shape(), geometry);
  check_bias("conv_transpose2d", bias, y[3]);
  return run_transpose({"conv_transpose2d", geometry.conv, x.shape(), w.shape(), y, y}, x, w, bias);
}

Var conv_transpose1d(const Var& x, const Var& w, const Var& bias, const ConvTranspose1dGeometry& geometry) {
  check_operands("conv_transpose1d", 3, x.data(), w.data(), data_or_none(bias));
  const ConvTranspose2dGeometry g{.conv = {.stride_w = geometry.stride,
                                           .pad_w = geometry.padding,
                                           .dilation_w = geometry.dilation,
                                           .groups = geometry.groups},
                                  .output_padding_w = geometry.output_padding};
  const Shape x4 = raised(x.shape()), w4 = raised(w.shape());
  const Shape y4 = transpose_shape("conv_transpose1d", x4, w4, g);
  check_bias("conv_transpose1d", bias, y4[3]);
  return run_transpose({"conv_transpose1d", g.conv, x4, w4, y4, Shape{y4[0], y4[2], y4[3]}}, x, w, bias);
}

}  // namespace lathe
