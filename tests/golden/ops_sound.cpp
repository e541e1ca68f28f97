// Golden ops of sound: recurrent layers, resampling.

#include <cmath>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/lstm.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/resample.h"
#include "autograd/ops/shape.h"
#include "core/error.h"
#include "tests/golden/ops.h"

namespace lathe::golden {
namespace {

struct Recurrence {
  Var y;                  // (N, T, directions H)
  std::vector<Var> h, c;  // (1, N, H) after the last step: layer 0 forward, backward, layer 1 ...
};

Var state_of(const Var& states, int64_t index) {
  return reshape(slice(states, 0, index, index + 1), {states.dim(1), states.dim(2)});
}

// Layers named as torch.nn.LSTM names them; h0 and c0 (layers, N, H) may be undefined.
Recurrence run_layers(OpRun& run, const std::string& prefix, Var x, int64_t layers, bool both, const Var& h0,
                      const Var& c0) {
  Recurrence out;
  for (int64_t layer = 0; layer < layers; ++layer) {
    std::vector<Var> sides;
    for (const bool reverse : {false, true}) {
      if (reverse && !both) continue;
      const std::string suffix = concat("_l", layer, reverse ? "_reverse" : "");
      const auto in = [&](const char* name) { return run.input(prefix + name + suffix); };
      const LstmWeights weights{in("weight_ih"), in("weight_hh"), in("bias_ih"), in("bias_hh")};
      LstmOptions options{.reverse = reverse};
      const auto index = static_cast<int64_t>(out.h.size());
      if (h0.defined()) options.h0 = state_of(h0, index);
      if (c0.defined()) options.c0 = state_of(c0, index);
      const Var states = lstm(x, weights, options);
      const Shape each{x.dim(0), x.dim(1), states.dim(3)};
      const Var hidden = reshape(slice(states, 0, 0, 1), each);
      const Var cell = reshape(slice(states, 0, 1, 2), each);
      const int64_t end = reverse ? 0 : x.dim(1) - 1;
      sides.push_back(hidden);
      out.h.push_back(permute(slice(hidden, 1, end, end + 1), {1, 0, 2}));
      out.c.push_back(permute(slice(cell, 1, end, end + 1), {1, 0, 2}));
    }
    x = concat(sides, 2);
  }
  out.y = x;
  return out;
}

void run_lstm(OpRun& run) {
  const Layout time = run.boolean("batch_first", false) ? Layout{0, 1, 2} : Layout{1, 0, 2};
  const Var x = run.input("x", time);
  const bool both = run.boolean("bidirectional", false);
  const int64_t layers = run.integer("num_layers", 1);
  if (run.integer("input_size", x.dim(2)) != x.dim(2)) throw Unsupported("lstm: input_size");
  const Recurrence out = run_layers(run, "", x, layers, both, run.optional("h0"), run.optional("c0"));
  if (run.integer("hidden_size", out.h[0].dim(2)) != out.h[0].dim(2)) throw Unsupported("lstm: hidden_size");
  run.output("output", out.y, time);
  run.output("h_n", concat(out.h, 0));
  run.output("c_n", concat(out.c, 0));
}

void run_demucs_blstm(OpRun& run) {
  const Layout sequences = channels_last(3);
  const Var x = run.input("x", sequences);
  if (run.integer("dim", x.dim(2)) != x.dim(2)) throw Unsupported("demucs_blstm: dim");
  const Recurrence out = run_layers(run, "lstm.", x, run.integer("layers"), true, Var(), Var());
  run.output("y", linear(out.y, run.input("linear.weight"), run.input("linear.bias")), sequences);
}

// The file's kernel is julius' own table; ours must be the same to float32's rounding, and stands in for it
// where the file has none.
void run_resample(OpRun& run) {
  const Layout rows{0, 1};  // (C, T) becomes (C, T, 1)
  const Var x = run.input("x", rows);
  const int64_t from = run.integer("old_sr"), to = run.integer("new_sr");
  if (run.integer("zeros", 24) != 24) throw Unsupported("resample_frac: zeros");
  if (run.real("rolloff", 0.945) != 0.945) throw Unsupported("resample_frac: rolloff");
  Tensor filters = resample_filters(from, to);
  run.integer("width", 0);
  if (run.has_attr("kernel_shape")) run.integers("kernel_shape", 3, 0);
  if (run.has_input("kernel")) {
    const Tensor given = run.constant("kernel").view(filters.shape()).to(DType::F64);
    const Tensor ours = filters.to(DType::F64);
    for (int64_t i = 0; i < given.numel(); ++i) {
      const double off = std::abs(given.ptr<double>()[i] - ours.ptr<double>()[i]);
      LATHE_CHECK(FormatError, off < 5e-7, "our filter differs by ", off, " at ", i);
    }
    filters = run.constant("kernel").view(filters.shape());
  }
  const Var columns = reshape(x, {x.dim(0), x.dim(1), 1});
  const Var y = resample_with(columns, filters, from);
  run.output("y", reshape(y, {y.dim(0), y.dim(1)}), rows);
}

}  // namespace

OpRows sound_rows() {
  return {{"lstm", run_lstm}, {"demucs_blstm", run_demucs_blstm}, {"resample_frac", run_resample}};
}

}  // namespace lathe::golden
