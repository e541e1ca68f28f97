// Golden ops that move elements: pads, trims, the parameter-free shortcut, resizing.

#include "autograd/ops/elementwise.h"
#include "autograd/ops/interpolate.h"
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

Interpolation interpolation(const std::string& mode) {
  if (mode == "nearest") return Interpolation::Nearest;
  if (mode == "linear" || mode == "bilinear") return Interpolation::Linear;
  if (mode == "bicubic") return Interpolation::Cubic;
  throw Unsupported("interpolate mode " + mode);
}

void run_interpolate(OpRun& run) {
  const int rank = run.rank("x");
  const Layout layout = channels_last(rank);
  const Var x = run.input("x", layout);
  const Interpolation mode = interpolation(run.text("mode", "nearest"));
  if (run.boolean("align_corners", false)) throw Unsupported("interpolate with align_corners");
  if (run.boolean("antialias", false)) throw Unsupported("interpolate with antialiasing");
  if (run.real("A", -0.75) != -0.75) throw Unsupported("interpolate with another cubic kernel");
  run.text("border", "clamp indices");
  run.text("rule", "src=floor(dst*in/out)");
  const size_t axes = static_cast<size_t>(rank) - 2;
  std::vector<int64_t> size;
  if (run.has_attr("scale_factor")) {
    const std::vector<int64_t> factors = run.integers("scale_factor", axes, 1);
    for (size_t i = 0; i < axes; ++i) size.push_back(factors[i] * x.dim(static_cast<int>(i) + 1));
  } else {
    size = run.integers("size", axes, 1);
  }
  run.output("y", interpolate(x, size, mode), layout);
}

}  // namespace

OpRows shape_rows() {
  return {{"pad", run_pad},
          {"option_a_shortcut", run_option_a},
          {"center_trim", run_center_trim},
          {"decimate", run_decimate},
          {"linear_upsample_demucs_v1", run_linear_upsample},
          {"mixup", run_mixup},
          {"interpolate", run_interpolate}};
}

}  // namespace lathe::golden
