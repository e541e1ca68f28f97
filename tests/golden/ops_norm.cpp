// Golden normalisations, softmax and statistics.

#include <limits>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "tests/golden/ops.h"

namespace lathe::golden {
namespace {

void run_batch_norm(OpRun& run) {
  const Layout layout = channels_last(run.rank("x"));
  const Var x = run.input("x", layout), gamma = run.optional("weight"), beta = run.optional("bias");
  if (run.boolean("affine", gamma.defined()) != gamma.defined())
    throw Unsupported("batch_norm: affine disagrees with its inputs");
  const Tensor mean = run.constant("running_mean"), var = run.constant("running_var");
  const BatchNormOptions options{.training = run.boolean("training", true),
                                 .momentum = run.real("momentum", 0.1),
                                 .eps = run.real("eps", 1e-5)};
  run.output("y", batch_norm(x, gamma, beta, mean, var, options), layout);
  run.output("new_running_mean", Var(mean));
  run.output("new_running_var", Var(var));
}

// Normalised over the last axes of normalized_shape, flattened to one.
void run_layer_norm(OpRun& run) {
  Var x = run.input("x"), gamma = run.optional("weight"), beta = run.optional("bias");
  run.boolean("affine", true);  // the inputs say the same
  run.boolean("bias", true);
  const Shape shape = x.shape();
  const auto normalized = static_cast<int>(run.attr("normalized_shape").items().size());
  int64_t width = 1;
  for (int i = 1; i <= normalized; ++i) width *= shape[-i];
  x = reshape(x, {shape.numel() / width, width});
  if (gamma.defined()) gamma = reshape(gamma, {width});
  if (beta.defined()) beta = reshape(beta, {width});
  run.output("y", reshape(layer_norm(x, gamma, beta, run.real("eps", 1e-5)), shape));
}

void run_layer_norm_2d(OpRun& run) {
  const Layout images = channels_last(run.rank("x"));
  const Var x = run.input("x", images), gamma = run.optional("weight"), beta = run.optional("bias");
  run.output("y", layer_norm(x, gamma, beta, run.real("eps", 1e-5)), images);
}

void run_group_norm(OpRun& run) {
  const Layout layout = channels_last(run.rank("x"));
  const Var x = run.input("x", layout), gamma = run.optional("weight"), beta = run.optional("bias");
  run.boolean("affine", true);
  run.output("y", group_norm(x, gamma, beta, run.integer("num_groups"), run.real("eps", 1e-5)), layout);
}

void run_softmax(OpRun& run) {
  const int axis = static_cast<int>(run.integer("dim", -1));
  run.output("y", softmax(run.input("x"), axis));
}

void run_log_softmax(OpRun& run) {
  const int axis = static_cast<int>(run.integer("dim", -1));
  run.output("y", log_softmax(run.input("x"), axis));
}

// Minus infinity above the diagonal, then softmax.
void run_softmax_causal(OpRun& run) {
  const Var x = run.input("x");
  if (run.integer("dim", -1) != -1) throw Unsupported("softmax_masked over another axis than the last");
  if (run.text("mask", "").find("for j>i") == std::string::npos)
    throw Unsupported("softmax_masked with another mask than the causal one");
  const int64_t rows = x.dim(-2), columns = x.dim(-1);
  Tensor mask = Tensor::zeros({rows, columns}, DType::F64);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = i + 1; j < columns; ++j)
      mask.mut<double>()[i * columns + j] = -std::numeric_limits<double>::infinity();
  }
  run.output("y", softmax(add(x, Var(mask.to(run.dtype())))));
}

void run_std(OpRun& run) {
  const VarianceOptions options{.axes = {static_cast<int>(run.integer("dim"))},
                                .keepdim = run.boolean("keepdim", false),
                                .unbiased = run.boolean("unbiased", true)};
  run.output("y", standard_deviation(run.input("x"), options));
}

void run_mean_std(OpRun& run) {
  const Var x = run.input("x");
  if (run.text("dims", "all") != "all") throw Unsupported("mean_std over some axes");
  const bool unbiased = run.text("std", "unbiased").starts_with("unbiased");
  run.output("mean", mean(x));
  run.output("std", standard_deviation(x, {.axes = {}, .unbiased = unbiased}));
}

}  // namespace

OpRows norm_rows() {
  return {{"batch_norm", run_batch_norm},
          {"layer_norm", run_layer_norm},
          {"layer_norm_2d", run_layer_norm_2d},
          {"group_norm", run_group_norm},
          {"softmax", run_softmax},
          {"log_softmax", run_log_softmax},
          {"softmax_masked", run_softmax_causal},
          {"std", run_std},
          {"mean_std", run_mean_std}};
}

}  // namespace lathe::golden
