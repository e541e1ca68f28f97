// The fused chain is the composition of convolutions and batch norms: outputs, running statistics and every
// gradient, for shapes with many windows.

#include "autograd/ops/conv_chain.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "autograd/ops/conv.h"
#include "autograd/ops/norm.h"
#include "core/cpu/isa.h"
#include "core/parallel.h"
#include "tests/laws/evaluate.h"

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
/// Where the norms' outputs lie: around relu's kink, or far from it, two channels above and the third below,
/// so that no rounding opens or closes one.
enum class Kink : uint8_t { Inside, Away };

Var compose(Var x, const std::vector<ChainLayer>& layers, const ChainEnd& end) {
  for (const ChainLayer& layer : layers) {
    const bool last = &layer == &layers.back();
    x = batch_norm(conv2d(x, layer.w, {}, layer.geometry), layer.gamma, layer.beta, layer.running_mean,
                   layer.running_var, {.momentum = layer.momentum, .relu = !last || end.relu},
                   last ? end.residual : Var());
  }
  return x;
}

/// Output, running statistics, then every gradient; undefined where none.
std::vector<Tensor> run(const Row& row, Form form, DType dtype, Kink kink) {
  OpCase inputs{.name = row.name, .inputs = {{row.x}}, .apply = {}};
  int64_t c = row.x[-1];
  for (const LayerRow& layer : row.layers) {
    inputs.inputs.push_back({{layer.k, layer.kernel, layer.kernel, c / layer.geometry.groups}});
    const bool away = kink == Kink::Away;
    inputs.inputs.push_back({{layer.k}, away ? 0.1 : 0.5, away ? 0.3 : 1.5});
    inputs.inputs.push_back({{layer.k}, away ? 4.0 : -1.0, away ? 5.0 : 1.0});
    c = layer.k;
  }
  for (const size_t i : row.frozen) inputs.inputs[i].requires_grad = false;
  std::vector<Var> in = make_inputs(inputs, dtype);
  for (size_t i = 3; kink == Kink::Away && i < in.size(); i += 3) {
    dispatch_floating(dtype, "laws", [&]<class T>() {
      T* beta = in[i].mutable_data().mut<T>();
      for (int64_t j = 2; j < in[i].dim(0); j += 3) beta[j] = -beta[j];
    });
  }
  std::vector<ChainLayer> layers;
  for (size_t l = 0; l < row.layers.size(); ++l) {
    const int64_t k = row.layers[l].k;
    ChainLayer& layer = layers.emplace_back();
    layer.w = in[1 + 3 * l];
    layer.gamma = in[2 + 3 * l];
    layer.beta = in[3 + 3 * l];
    layer.geometry = row.layers[l].geometry;
    layer.running_mean = Tensor::full({k}, 0.25, dtype);
    layer.running_var = Tensor::full({k}, 2, dtype);
    layer.momentum = 0.3;
  }
  ChainEnd end{.relu = row.relu};
  if (row.residual == Residual::Input) end.residual = in[0];
  if (row.residual == Residual::Other) {
    const NoGrad shape_only;
    const Shape y = compose(in[0], layers, {}).shape();
    for (ChainLayer& layer : layers) {
      layer.running_mean = Tensor::full({layer.w.dim(0)}, 0.25, dtype);
      layer.running_var = Tensor::full({layer.w.dim(0)}, 2, dtype);
    }
    end.residual = in.emplace_back(output_gradient(y, dtype), true);
  }
  const Var y = form == Form::Fused ? conv_bn_chain(in[0], layers, end) : compose(in[0], layers, end);
  backward(y, output_gradient(y.shape(), dtype));
  std::vector<Tensor> all{y.data()};
  for (const ChainLayer& layer : layers) {
    all.push_back(layer.running_mean);
    all.push_back(layer.running_var);
  }
  for (const Var& input : in) all.push_back(input.requires_grad() ? input.grad() : Tensor());
  return all;
}

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
    check_close(run(row, Form::Fused, DType::F64, Kink::Inside),
                run(row, Form::Composed, DType::F64, Kink::Inside), 1e-22);
    const std::vector<Tensor> expected = run(row, Form::Composed, DType::F64, Kink::Away);
    for (const cpu::Isa isa : {cpu::Isa::Portable, cpu::Isa::V3, cpu::Isa::V4}) {
      if (isa > cpu::widest_isa()) continue;
      CAPTURE(isa);
      const cpu::ForceIsa forced(isa);
      check_close(run(row, Form::Fused, DType::F32, Kink::Away), expected, 1e-8);  // h is 4.5 +- 0.2
    }
  }
}

TEST_CASE("a chain has the same bits for any number of threads") {
  const int before = num_threads();
  for (const Row& row : rows()) {
    CAPTURE(row.name);
    set_num_threads(1);
    const std::vector<Tensor> expected = run(row, Form::Fused, DType::F32, Kink::Inside);
    for (const int threads : {2, 3}) {
      set_num_threads(threads);
      const std::vector<Tensor> found = run(row, Form::Fused, DType::F32, Kink::Inside);
      for (size_t i = 0; i < found.size(); ++i) {
        if (found[i].defined()) CHECK(same_bits(found[i], expected[i]));
      }
    }
  }
  set_num_threads(before);
}

TEST_SUITE_END();

}  // namespace lathe::laws
