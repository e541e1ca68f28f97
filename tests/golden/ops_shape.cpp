// Golden ops that move elements: pads, trims, the parameter-free shortcut.

#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"
#include "layers/separation_model.h"
#include "models/demucs.h"
#include "tests/golden/ops.h"

namespace lathe::golden {
namespace {

void run_pad(OpRun& run) {
  const std::string mode = run.text("mode", "constant");
  if (mode != "constant" && mode != "replicate") throw Unsupported("pad mode " + mode);
  const auto sides = run.integers("pads", 2, 0);
  const PadOptions options{.axis = static_cast<int>(run.integer("dim", -1)),
                           .before = sides[0],
                           .after = sides[1],
                           .mode = mode == "constant" ? PadMode::Constant : PadMode::Replicate,
                           .value = run.real("value", 0)};
  run.output("y", pad(run.input("x"), options));
}

void run_option_a(OpRun& run) {
  const Layout images = channels_last(4);
  const Var x = run.input("x", images);
  const int64_t channels = run.integer("planes");
  if (run.integer("in_planes", x.dim(3)) != x.dim(3)) throw Unsupported("option_a_shortcut: in_planes");
  run.output("y", option_a_shortcut(x, 2, channels), images);
}

void run_center_trim(OpRun& run) {
  const Layout sequences = channels_last(3);
  const Var x = run.input("x", sequences);
  run.output("y", center_trim(x, 1, run.integer("to")), sequences);
}

void run_decimate(OpRun& run) {
  const Layout sequences = channels_last(3);
  run.output("y", slice(run.input("x", sequences), 1, 0, -1, run.integer("stride")), sequences);
}

void run_linear_upsample(OpRun& run) {
  const Layout sequences = channels_last(3);
  const Var x = run.input("x", sequences);
  run.output("y", linear_upsample(x, run.integer("stride")), sequences);
}

// x lam + flip(x) (1 - lam), flipped over the batch.
void run_mixup(OpRun& run) {
  const Var x = run.input("x");
  const double lam = run.real("lam");
  std::vector<Var> rows;
  for (int64_t i = x.dim(0) - 1; i >= 0; --i) rows.push_back(slice(x, 0, i, i + 1));
  run.output("y", add(scale(x, lam), scale(concat(rows, 0), 1 - lam)));
}

}  // namespace

OpRows shape_rows() {
  return {{"pad", run_pad},
          {"option_a_shortcut", run_option_a},
          {"center_trim", run_center_trim},
          {"decimate", run_decimate},
          {"linear_upsample_demucs_v1", run_linear_upsample},
          {"mixup", run_mixup}};
}

}  // namespace lathe::golden
