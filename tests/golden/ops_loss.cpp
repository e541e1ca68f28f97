// Golden losses.

#include "autograd/ops/loss.h"
#include "tests/golden/ops.h"

namespace lathe::golden {
namespace {

Reduction reduction(OpRun& run) {
  const std::string name = run.text("reduction", "mean");
  if (name == "mean") return Reduction::Mean;
  if (name == "sum") return Reduction::Sum;
  if (name == "none") return Reduction::None;
  throw Unsupported("reduction " + name);
}

void run_cross_entropy(OpRun& run) {
  const Layout layout = channels_last(run.rank("logits"));
  CrossEntropyOptions options{.reduction = reduction(run),
                              .label_smoothing = run.real("label_smoothing", 0),
                              .ignore_index = run.integer("ignore_index", -100),
                              .class_weights = {}};
  if (run.has_input("weight")) options.class_weights = run.constant("weight");
  run.output("y", cross_entropy(run.input("logits", layout), run.indices("target"), options));
}

void run_timm_label_smoothing(OpRun& run) {
  const CrossEntropyOptions options{.label_smoothing = run.real("smoothing"), .class_weights = {}};
  run.output("y", cross_entropy(run.input("logits"), run.indices("target"), options));
}

void run_soft_target(OpRun& run) {
  run.output("y", soft_cross_entropy(run.input("logits"), run.constant("target")));
}

template <Var (*loss)(const Var&, const Var&, Reduction)>
void run_pair(OpRun& run) {
  const Var x = run.input("x"), y = run.input("y");
  run.output("y", loss(x, y, reduction(run)));
}

}  // namespace

OpRows loss_rows() {
  return {{"cross_entropy", run_cross_entropy},
          {"label_smoothing_cross_entropy_timm", run_timm_label_smoothing},
          {"soft_target_cross_entropy", run_soft_target},
          {"l1_loss", run_pair<l1_loss>},
          {"mse_loss", run_pair<mse_loss>},
          {"bce_with_logits", run_pair<bce_with_logits>}};
}

}  // namespace lathe::golden
