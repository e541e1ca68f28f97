// Golden convolutions.

#include "autograd/ops/conv.h"
#include "autograd/ops/shape.h"
#include "tests/golden/ops.h"

namespace lathe::golden {
namespace {

Conv2dGeometry geometry2d(OpRun& run) {
  const auto stride = run.integers("stride", 2, 1), padding = run.integers("padding", 2, 0),
             dilation = run.integers("dilation", 2, 1);
  return {.stride_h = stride[0],
          .stride_w = stride[1],
          .pad_h = padding[0],
          .pad_w = padding[1],
          .dilation_h = dilation[0],
          .dilation_w = dilation[1],
          .groups = run.integer("groups", 1)};
}

void run_conv2d(OpRun& run) {
  const Layout images = channels_last(4);
  const Var x = run.input("x", images), w = run.input("weight", images), bias = run.optional("bias");
  run.output("y", conv2d(x, w, bias, geometry2d(run)), images);
}

// TensorFlow's "same": the padding depends on the input and may differ by one between the sides.
void run_conv2d_tf_same(OpRun& run) {
  const Layout images = channels_last(4);
  Var x = run.input("x", images);
  const Var w = run.input("weight", images), bias = run.optional("bias");
  const auto stride = run.integers("stride", 2, 1), dilation = run.integers("dilation", 2, 1);
  for (int axis = 0; axis < 2; ++axis) {
    const auto i = static_cast<size_t>(axis);
    const int64_t in = x.dim(axis + 1), span = dilation[i] * (w.dim(axis + 1) - 1) + 1;
    const int64_t total =
        std::max<int64_t>(0, ((in + stride[i] - 1) / stride[i] - 1) * stride[i] + span - in);
    x = pad(x, {.axis = axis + 1, .before = total / 2, .after = total - total / 2});
  }
  const Conv2dGeometry geometry{.stride_h = stride[0],
                                .stride_w = stride[1],
                                .dilation_h = dilation[0],
                                .dilation_w = dilation[1],
                                .groups = run.integer("groups", 1)};
  run.output("y", conv2d(x, w, bias, geometry), images);
}

void run_conv1d(OpRun& run) {
  const Layout sequences = channels_last(3);
  const Var x = run.input("x", sequences), w = run.input("weight", sequences), bias = run.optional("bias");
  const Conv1dGeometry geometry{.stride = run.integers("stride", 1, 1)[0],
                                .padding = run.integers("padding", 1, 0)[0],
                                .dilation = run.integers("dilation", 1, 1)[0],
                                .groups = run.integer("groups", 1)};
  run.output("y", conv1d(x, w, bias, geometry), sequences);
}

// (in, out / groups, k...) becomes (in, k..., out / groups): the same move as for images.
void run_conv_transpose2d(OpRun& run) {
  const Layout images = channels_last(4);
  const Var x = run.input("x", images), w = run.input("weight", images), bias = run.optional("bias");
  const auto extra = run.integers("output_padding", 2, 0);
  const ConvTranspose2dGeometry geometry{
      .conv = geometry2d(run), .output_padding_h = extra[0], .output_padding_w = extra[1]};
  run.output("y", conv_transpose2d(x, w, bias, geometry), images);
}

void run_conv_transpose1d(OpRun& run) {
  const Layout sequences = channels_last(3);
  const Var x = run.input("x", sequences), w = run.input("weight", sequences), bias = run.optional("bias");
  const ConvTranspose1dGeometry geometry{.stride = run.integers("stride", 1, 1)[0],
                                         .padding = run.integers("padding", 1, 0)[0],
                                         .dilation = run.integers("dilation", 1, 1)[0],
                                         .groups = run.integer("groups", 1),
                                         .output_padding = run.integers("output_padding", 1, 0)[0]};
  run.output("y", conv_transpose1d(x, w, bias, geometry), sequences);
}

}  // namespace

OpRows conv_rows() {
  return {{"conv2d", run_conv2d},
          {"conv2d_tf_same", run_conv2d_tf_same},
          {"conv1d", run_conv1d},
          {"conv_transpose2d", run_conv_transpose2d},
          {"conv_transpose1d", run_conv_transpose1d}};
}

}  // namespace lathe::golden
