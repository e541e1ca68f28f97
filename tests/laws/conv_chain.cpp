// The fused chain is the composition of convolutions and batch norms: outputs, running statistics and every
// gradient, for shapes with many windows.

#include "autograd/ops/conv_chain.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "autograd/ops/conv.h"
#include "autograd/ops/norm.h"
#include "core/cpu/isa.h"
#include "core/math_mode.h"
#include "core/parallel.h"
#include "tests/laws/evaluate.h"
#include "tests/support/kernels.h"
#include "tests/support/kinks.h"

namespace lathe::laws {
namespace {

struct LayerRow {
  int64_t k, kernel;
  Conv2dGeometry geometry;
};
enum class Residual : uint8_t { None, Input, Other };
struct Row {
  std::string name;
  Shape x;
  std::vector<LayerRow> layers;
  Residual residual = Residual::None;
  bool relu = true;
  std::vector<size_t> frozen = {};  ///< inputs that need no gradient: x, then each layer's w, gamma, beta
};

constexpr Conv2dGeometry kPoint{};
constexpr Conv2dGeometry kSame{.pad_h = 1, .pad_w = 1};
constexpr Conv2dGeometry kHalf{.stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1};
constexpr Conv2dGeometry kHalfPoint{.stride_h = 2, .stride_w = 2};
constexpr Conv2dGeometry grouped(Conv2dGeometry geometry, int64_t groups) {
  geometry.groups = groups;
  return geometry;
}

std::vector<Row> rows() {
  return {
      {"1 layer", {5, 33, 31, 16}, {{19, 3, kSame}}},
      {"1 layer, no relu", {5, 17, 31, 16}, {{32, 3, kSame}}, Residual::None, false},
      {"first layer", {9, 32, 32, 3}, {{16, 3, kSame}, {16, 3, kSame}}, Residual::None, true, {0}},
      {"basic block of 16", {9, 32, 32, 16}, {{16, 3, kSame}, {16, 3, kSame}}, Residual::Input},
      {"basic block of 64", {33, 8, 8, 64}, {{64, 3, kSame}, {64, 3, kSame}}, Residual::Input},
      {"basic block, strided", {6, 32, 32, 16}, {{32, 3, kHalf}, {32, 3, kSame}}, Residual::Other},
      {"basic block, strided, odd size", {6, 15, 17, 16}, {{32, 3, kHalf}, {32, 3, kSame}}, Residual::Other},
      {"basic block, no relu", {4, 9, 9, 16}, {{16, 3, kSame}, {16, 3, kSame}}, Residual::Input, false},
      {"other residual, no relu", {4, 9, 9, 16}, {{24, 3, kSame}}, Residual::Other, false},
      {"narrow", {37, 4, 4, 32}, {{48, 3, kSame}, {32, 3, kSame}}, Residual::Input},
      {"large weights", {8, 4, 4, 160}, {{192, 3, kSame}, {160, 3, kSame}}, Residual::Input},
      {"bottleneck", {5, 14, 14, 64}, {{16, 1, kPoint}, {16, 3, kSame}, {64, 1, kPoint}}, Residual::Input},
      {"pointwise", {7, 19, 21, 40}, {{72, 1, kPoint}, {33, 1, kPoint}}},
      {"projection", {7, 18, 20, 40}, {{72, 1, kHalfPoint}}, Residual::None, false},
      {"separable", {6, 32, 32, 32}, {{32, 3, grouped(kSame, 32)}, {64, 1, kPoint}}},
      {"separable twice, strided",
       {6, 16, 16, 48},
       {{48, 3, grouped(kHalf, 48)}, {80, 1, kPoint}, {80, 3, grouped(kSame, 80)}, {35, 1, kPoint}}},
      {"groups", {5, 19, 21, 24}, {{32, 3, grouped(kSame, 2)}, {24, 3, grouped(kSame, 4)}}},
      {"multiplier", {5, 11, 12, 24}, {{32, 1, kPoint}, {64, 3, grouped(kSame, 32)}, {8, 1, kPoint}}},
      {"one image", {1, 32, 32, 16}, {{16, 3, kSame}, {16, 3, kSame}}, Residual::Input},
      {"frozen norms",
       {4, 16, 16, 16},
       {{16, 3, kSame}, {16, 3, kSame}},
       Residual::Input,
       true,
       {2, 3, 5, 6}},
      {"frozen weights", {4, 16, 16, 16}, {{16, 3, kSame}, {16, 3, kSame}}, Residual::Input, true, {1, 4}},
      {"only the last layer learns",
       {4, 16, 16, 16},
       {{16, 3, kSame}, {16, 3, kSame}},
       Residual::None,
       true,
       {0, 1, 2, 3}},
      {"only x learns",
       {4, 16, 16, 16},
       {{16, 3, kSame}, {16, 3, kSame}},
       Residual::Input,
       true,
       {1, 2, 3, 4, 5, 6}},
  };
}

enum class Form : uint8_t { Fused, Composed };

Var compose(Var x, const std::vector<ChainLayer>& layers, const ChainEnd& end) {
  for (const ChainLayer& layer : layers) {
    const bool last = &layer == &layers.back();
    x = batch_norm(conv2d(x, layer.w, {}, layer.geometry), layer.gamma, layer.beta, layer.running_mean,
                   layer.running_var, {.momentum = layer.momentum, .relu = !last || end.relu},
                   last ? end.residual : Var());
  }
  return x;
}

struct Run {
  std::vector<Var> in;  ///< x, each layer's w, gamma, beta, then the residual where it is another
  std::vector<ChainLayer> layers;
  Var y;
};

ChainLayer layer_of(const Row& row, const std::vector<Var>& in, size_t l) {
  ChainLayer layer;
  layer.w = in[1 + 3 * l];
  layer.gamma = in[2 + 3 * l];
  layer.beta = in[3 + 3 * l];
  layer.geometry = row.layers[l].geometry;
  layer.running_mean = Tensor::full({layer.w.dim(0)}, 0.25, layer.w.dtype());
  layer.running_var = Tensor::full({layer.w.dim(0)}, 2, layer.w.dtype());
  layer.momentum = 0.3;
  return layer;
}

Run forward(const Row& row, Form form, DType dtype) {
  OpCase inputs{.name = row.name, .inputs = {{row.x}}, .apply = {}};
  int64_t c = row.x[-1];
  for (const LayerRow& layer : row.layers) {
    inputs.inputs.push_back({{layer.k, layer.kernel, layer.kernel, c / layer.geometry.groups}});
    inputs.inputs.push_back({{layer.k}, 0.5, 1.5});
    inputs.inputs.push_back({{layer.k}});
    c = layer.k;
  }
  for (const size_t i : row.frozen) inputs.inputs[i].requires_grad = false;
  Run run{make_inputs(inputs, dtype), {}, {}};
  const auto fresh_layers = [&] {
    run.layers.clear();
    for (size_t l = 0; l < row.layers.size(); ++l) run.layers.push_back(layer_of(row, run.in, l));
  };
  fresh_layers();
  ChainEnd end{.relu = row.relu};
  if (row.residual == Residual::Input) end.residual = run.in[0];
  if (row.residual == Residual::Other) {
    const NoGrad shape_only;
    const Shape y = compose(run.in[0], run.layers, {}).shape();
    fresh_layers();  // that moved the statistics
    end.residual = run.in.emplace_back(output_gradient(y, dtype), true);
  }
  run.y =
      form == Form::Fused ? conv_bn_chain(run.in[0], run.layers, end) : compose(run.in[0], run.layers, end);
  return run;
}

/// Output, running statistics, then every gradient; undefined where none.
std::vector<Tensor> results(const Run& run) {
  backward(run.y, output_gradient(run.y.shape(), run.y.dtype()));
  std::vector<Tensor> all{run.y.data()};
  for (const ChainLayer& layer : run.layers) {
    all.push_back(layer.running_mean);
    all.push_back(layer.running_var);
  }
  for (const Var& input : run.in) all.push_back(input.requires_grad() ? input.grad() : Tensor());
  return all;
}

/// A row in float64, with the relus in the states of a float32 run: where rounding opens or closes one, all
/// gradients differ.
class Reference {
 public:
  explicit Reference(const Row& row) : row_(row), all_learn_(row) {
    all_learn_.frozen.clear();  // a relu that nothing learns behind is on the chain's tape, on no other
    plain_ = results_of(forward(all_learn_, Form::Composed, DType::F64));
    fresh_ = forward(all_learn_, Form::Composed, DType::F64);
  }

  std::vector<Tensor> expected(const Run& run, double tolerance) {
    std::vector<tests::Kink> kinks = tests::kinks_of(fresh_.y);
    tests::Leaves leaves;
    for (const Var& input : fresh_.in) leaves[&input.grad()] = input.data();
    const tests::Switches switches = tests::follow(kinks, leaves, tests::kinks_of(run.y), tolerance);
    CHECK_MESSAGE(switches.complaint.empty(), switches.complaint);
    if (!switches.any()) return plain_;
    std::vector<Tensor> expected = results_of(fresh_);
    fresh_ = forward(all_learn_, Form::Composed, DType::F64);
    return expected;
  }

 private:
  std::vector<Tensor> results_of(const Run& run) const {
    std::vector<Tensor> all = results(run);
    for (const size_t i : row_.frozen) all[all.size() - run.in.size() + i] = Tensor();
    return all;
  }

  const Row& row_;
  Row all_learn_;
  std::vector<Tensor> plain_;  // the results without a switch
  Run fresh_;                  // before its backward
};

/// Mean squared error within `bound` of the mean square, or of 1 where that is less: a beta's gradient is
/// zero where another norm takes its shift away.
void check_close(const std::vector<Tensor>& found, const std::vector<Tensor>& expected, double bound) {
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    REQUIRE(found[i].defined() == expected[i].defined());
    if (!found[i].defined()) continue;
    const Tensor zeros = Tensor::zeros(expected[i].shape(), DType::F64);
    const double size = std::max(nmse(expected[i], zeros), static_cast<double>(zeros.numel()));
    const double error = nmse(found[i], expected[i]) * std::max(nmse(expected[i], zeros), 1e-300) / size;
    CHECK_MESSAGE(error <= bound, "tensor ", i, ": ", error);
  }
}

}  // namespace

TEST_SUITE_BEGIN("op laws");

TEST_CASE("a chain is the composition of its layers") {
  for (const Row& row : rows()) {
    CAPTURE(row.name);
    check_close(results(forward(row, Form::Fused, DType::F64)),
                results(forward(row, Form::Composed, DType::F64)), 1e-22);
    Reference reference(row);
    for (const cpu::Isa isa : tests::isas()) {
      CAPTURE(isa);
      const cpu::ForceIsa forced(isa);
      for (const bool winograd : {false, true}) {
        CAPTURE(winograd);
        const MathModeScope mode({.winograd = winograd});
        const Run run = forward(row, Form::Fused, DType::F32);
        check_close(results(run), reference.expected(run, winograd ? 2e-4 : 1e-5), winograd ? 1e-9 : 1e-10);
      }
    }
  }
}

TEST_CASE("a chain has the same bits for any number of threads") {
  const int before = num_threads();
  for (const Row& row : rows()) {
    CAPTURE(row.name);
    set_num_threads(1);
    const std::vector<Tensor> expected = results(forward(row, Form::Fused, DType::F32));
    for (const int threads : {2, 3}) {
      set_num_threads(threads);
      const std::vector<Tensor> found = results(forward(row, Form::Fused, DType::F32));
      for (size_t i = 0; i < found.size(); ++i) {
        if (found[i].defined()) CHECK(same_bits(found[i], expected[i]));
      }
    }
  }
  set_num_threads(before);
}

TEST_SUITE_END();

}  // namespace lathe::laws
