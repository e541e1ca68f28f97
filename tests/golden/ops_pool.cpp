// Golden pooling and squeeze-and-excitation.

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/shape.h"
#include "tests/golden/ops.h"

namespace lathe::golden {
namespace {

template <Var (*pool)(const Var&, const Pool2dOptions&)>
void run_pool2d(OpRun& run) {
  const Layout images = channels_last(4);
  const auto kernel = run.integers("kernel", 2, 1), padding = run.integers("padding", 2, 0);
  const auto stride = run.has_attr("stride") ? run.integers("stride", 2, 1) : kernel;
  const Pool2dOptions options{.kernel_h = kernel[0],
                              .kernel_w = kernel[1],
                              .stride_h = stride[0],
                              .stride_w = stride[1],
                              .pad_h = padding[0],
                              .pad_w = padding[1],
                              .ceil_mode = run.boolean("ceil_mode", false),
                              .count_include_pad = run.boolean("count_include_pad", true)};
  run.output("y", pool(run.input("x", images), options), images);
}

template <Var (*pool)(const Var&, const Pool1dOptions&)>
void run_pool1d(OpRun& run) {
  const Layout sequences = channels_last(3);
  const int64_t kernel = run.integers("kernel", 1, 1)[0];
  const Pool1dOptions options{.kernel = kernel,
                              .stride = run.integers("stride", 1, kernel)[0],
                              .padding = run.integers("padding", 1, 0)[0],
                              .ceil_mode = run.boolean("ceil_mode", false),
                              .count_include_pad = run.boolean("count_include_pad", true)};
  run.output("y", pool(run.input("x", sequences), options), sequences);
}

template <Var (*pool)(const Var&, int64_t, int64_t)>
void run_adaptive(OpRun& run) {
  const Layout images = channels_last(4);
  const auto size = run.integers("output_size", 2, 1);
  run.output("y", pool(run.input("x", images), size[0], size[1]), images);
}

Var activate(const Var& x, const std::string& name) {
  if (name == "silu") return silu(x);
  if (name == "relu") return relu(x);
  if (name == "sigmoid") return sigmoid(x);
  if (name == "hardsigmoid") return hardsigmoid(x);
  throw Unsupported("squeeze_excite with " + name);
}

void run_squeeze_excite(OpRun& run) {
  const Layout images = channels_last(4);
  const Var x = run.input("x", images);
  const auto dense = [&](const Var& in, const char* weight, const char* bias) {
    const Var w = run.input(weight, images);
    return linear(in, reshape(w, {w.dim(0), w.dim(3)}), run.optional(bias));
  };
  const Var squeezed = activate(dense(global_avg_pool2d(x), "w_reduce", "b_reduce"), run.text("act", "relu"));
  const Var gate = activate(dense(squeezed, "w_expand", "b_expand"), run.text("gate", "sigmoid"));
  run.output("y", mul(x, reshape(gate, {x.dim(0), 1, 1, x.dim(3)})), images);
}

}  // namespace

OpRows pool_rows() {
  return {{"max_pool2d", run_pool2d<max_pool2d>},
          {"avg_pool2d", run_pool2d<avg_pool2d>},
          {"max_pool1d", run_pool1d<max_pool1d>},
          {"avg_pool1d", run_pool1d<avg_pool1d>},
          {"adaptive_avg_pool2d", run_adaptive<adaptive_avg_pool2d>},
          {"adaptive_max_pool2d", run_adaptive<adaptive_max_pool2d>},
          {"squeeze_excite", run_squeeze_excite}};
}

}  // namespace lathe::golden
