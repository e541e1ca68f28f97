// Golden parts of language models: adaptive input and softmax, positions.

#include <algorithm>

#include "autograd/ops/elementwise.h"
#include "layers/adaptive.h"
#include "layers/positions.h"
#include "tests/golden/ops.h"

namespace lathe::golden {
namespace {

std::vector<int64_t> list_of(const Value& list) {
  std::vector<int64_t> values;
  for (const Value& item : list.items()) values.push_back(item.as_int());
  return values;
}

// A module under a root of the run's type.
struct Root : Module {
  explicit Root(DType dtype) : Module(RootOptions{.dtype = dtype}) {}
};

// The file's input becomes what the parameter multiplies with, and where its gradient goes.
void give(OpRun& run, Module& root, const std::string& path, const std::string& input) {
  Parameter* parameter = root.find_parameter(path);
  if (parameter == nullptr) throw Unsupported(concat("there is no parameter '", path, "'"));
  struct Fixed : Parametrization {
    Var value;
    Var apply(const Var&, const RunState&, uint32_t) override { return value; }
  };
  const auto fixed = std::make_shared<Fixed>();
  fixed->value = run.input(input);
  if (fixed->value.shape() != parameter->shape()) throw Unsupported(concat("a shape of '", input, "'"));
  parameter->parametrize(fixed);
}

void run_adaptive_input(OpRun& run) {
  const Bands bands(list_of(run.attr("cutoffs")), run.integer("vocab"));
  const int64_t width = run.integer("dim"), factor = run.integer("factor");
  const std::vector<int64_t> widths = list_of(run.attr("band_dims"));
  for (int64_t b = 0; b < bands.count(); ++b) {
    if (band_width(width, factor, b) != widths.at(static_cast<size_t>(b)))
      throw Unsupported("other band_dims");
  }
  if (run.text("padding_idx", "") != "1, only in band 0 (zero grad to that row)")
    throw Unsupported("another padding");
  Root root(run.dtype());
  AdaptiveInput input(root, "x", bands, width, factor, 1);
  for (int64_t b = 0; b < bands.count(); ++b) {
    for (int part = 0; part < 2; ++part) {
      const std::string name = concat("embeddings.", b, ".", part, ".weight");
      give(run, root, "x." + name, name);
    }
  }
  run.output("y", input(run.indices("idx")));
}

void run_adaptive_softmax(OpRun& run) {
  const Bands bands(list_of(run.attr("cutoffs")), run.integer("vocab"));
  if (run.integer("ignore_index") != 1) throw Unsupported("another ignore_index");
  run.attr("head");
  run.attr("quirk");
  const bool tied = run.has_input("emb0");
  const Var h = run.input("h");
  const int64_t width = h.dim(1);
  const int64_t factor =
      tied ? width / run.constant("emb1").dim(1) : width / run.constant("tail0_out").dim(1);
  Root root(run.dtype());
  AdaptiveInput input(root, "in", bands, width, factor, 1);
  AdaptiveSoftmax softmax(
      root, "out", bands, input,
      {.width = width, .factor = factor, .tied = tied, .tied_projections = tied, .padding = 1});
  if (tied) {
    give(run, root, "out.head.class_proj.weight", "class_proj");
    for (int64_t b = 0; b < bands.count(); ++b) {
      give(run, root, concat("in.embeddings.", b, ".0.weight"), concat("emb", b));
      if (b > 0) give(run, root, concat("in.embeddings.", b, ".1.weight"), concat("proj", b));
    }
  } else {
    give(run, root, "out.head.weight", "head");
    for (int64_t t = 0; t + 1 < bands.count(); ++t) {
      give(run, root, concat("out.tail.", t, ".0.weight"), concat("tail", t, "_proj"));
      give(run, root, concat("out.tail.", t, ".2.weight"), concat("tail", t, "_out"));
    }
  }
  const Tensor targets = run.indices("target");
  int64_t scored = 0;
  for (const int64_t target : targets.span<int64_t>()) scored += target != 1;
  run.output("loss_sum", scale(softmax.loss(h, targets), static_cast<double>(scored)));
  const NoGrad no_grad;
  run.output("log_prob", softmax.log_probabilities(h));
}

void run_positions(OpRun& run) {
  const Tensor positions = run.indices("positions");
  int64_t rows = 0;
  for (const int64_t p : positions.span<int64_t>()) rows = std::max(rows, p + 1);
  const int64_t dim = run.integer("dim");
  run.attr("formula");
  if (run.text("dtype", "") != "table computed in float32") throw Unsupported("a table of another type");
  const Tensor table = sinusoidal_positions(rows, dim, run.integer("padding_idx"));
  Tensor y = Tensor::empty({positions.numel(), dim}, DType::F32);
  for (int64_t i = 0; i < positions.numel(); ++i)
    std::copy_n(table.ptr<float>() + positions.ptr<int64_t>()[i] * dim, dim, y.mut<float>() + i * dim);
  run.output("y", Var(y.to(run.dtype())));
}

}  // namespace

OpRows language_rows() {
  return {{"adaptive_input", run_adaptive_input},
          {"adaptive_softmax_loss", run_adaptive_softmax},
          {"sinusoidal_positional_embedding", run_positions}};
}

}  // namespace lathe::golden
