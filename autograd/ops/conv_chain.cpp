#include "autograd/ops/conv_chain.h"

#include <optional>
#include <utility>

#include "autograd/checkpoint.h"
#include "autograd/ops/conv.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/optional.h"
#include "core/conv_chain.h"

namespace lathe {
namespace {

// Places of the op's inputs: x, the residual, then each layer's w, gamma, beta.
constexpr int kX = 0, kResidual = 1, kLayers = 2, kPerLayer = 3;
// Of its saved tensors: x, out, then each layer's.
constexpr int kSavedOut = 1, kSavedLayers = 2, kSavedPerLayer = 6;

/// An ErrorScope of a context that may be missing.
class MaybeScope {
 public:
  explicit MaybeScope(const ErrorContext* context) {
    if (context != nullptr) scope_.emplace(*context);
  }

 private:
  std::optional<ErrorScope> scope_;
};

/// The layer with its z and statistics still to be written.
ConvNorm prepare(const ChainLayer& layer, const Tensor& x) {
  ConvNorm result;
  {
    const MaybeScope scope(layer.conv);
    result.z = x.empty_like(conv2d_shape(x, layer.w.data(), layer.geometry));
  }
  const MaybeScope scope(layer.norm);
  result.w = layer.w.data();
  result.gamma = data_or_none(layer.gamma);
  result.beta = data_or_none(layer.beta);
  check_batch_norm(result.z, result.gamma, result.beta, layer.running_mean, layer.running_var,
                   {.training = true}, Tensor());
  result.geometry = layer.geometry;
  const Shape channels{result.z.dim(-1)};
  result.mean = x.empty_like(channels);
  result.invstd = x.empty_like(channels);
  return result;
}

/// The same by the ops that the chain stands for.
Var compose(Var x, const std::vector<ChainLayer>& layers, const ChainEnd& end) {
  for (const ChainLayer& layer : layers) {
    const bool last = &layer == &layers.back();
    {
      const MaybeScope scope(layer.conv);
      x = conv2d(x, layer.w, {}, layer.geometry);
    }
    const MaybeScope scope(layer.norm);
    x = batch_norm(x, layer.gamma, layer.beta, layer.running_mean, layer.running_var,
                   {.momentum = layer.momentum, .eps = layer.eps, .relu = !last || end.relu},
                   last ? end.residual : Var());
  }
  return x;
}

/// What backward needs to know beside the saved tensors.
struct Plan {
  std::vector<Conv2dGeometry> geometries;
  bool residual_is_x = false, relu = true;
};

void chain_backward(Backward& b, const Plan& plan) {
  std::vector<ConvNorm> layers;
  std::vector<ConvNormGradients> gradients;
  for (size_t l = 0; l < plan.geometries.size(); ++l) {
    const int saved = kSavedLayers + static_cast<int>(l) * kSavedPerLayer;
    const int input = kLayers + static_cast<int>(l) * kPerLayer;
    layers.push_back({b.saved(saved), b.saved(saved + 1), b.saved(saved + 2), plan.geometries[l],
                      b.saved(saved + 3), b.saved(saved + 4), b.saved(saved + 5)});
    ConvNormGradients& g = gradients.emplace_back();
    if (b.wants(input)) g.dw = b.dx(input);
    if (b.wants(input + 1)) g.dgamma = b.dx(input + 1);
    if (b.wants(input + 2)) g.dbeta = b.dx(input + 2);
  }
  ConvChainGradients all;
  all.layers = gradients;
  all.residual_is_x = plan.residual_is_x;
  if (b.wants(kX)) all.dx = b.dx(kX);
  if (b.wants(kResidual)) {
    if (plan.relu) {
      all.dresidual = b.dx(kResidual);
    } else {
      b.pass(kResidual, b.dy());
    }
  }
  conv_chain_backward(all, b.dy(), b.saved(kSavedOut), b.saved(kX), layers);
}

}  // namespace

Var conv_bn_chain(const Var& x, const std::vector<ChainLayer>& layers, const ChainEnd& end) {
  LATHE_CHECK(ShapeError, !layers.empty(), "conv_bn_chain: no layers");
  if (x.data().device().type == DeviceType::Cuda || x.dtype() == DType::BF16) return compose(x, layers, end);
  Plan plan;
  plan.residual_is_x = end.residual.defined() && end.residual.same(x);
  plan.relu = end.relu;
  std::vector<ConvNorm> prepared;
  std::vector<RunningStatistics> running;
  std::vector<Var> inputs{x, plan.residual_is_x ? Var() : end.residual};
  OpInfo info;
  for (const ChainLayer& layer : layers) {
    prepared.push_back(prepare(layer, prepared.empty() ? x.data() : prepared.back().z));
    plan.geometries.push_back(layer.geometry);
    inputs.insert(inputs.end(), {layer.w, layer.gamma, layer.beta});
    info.macs += conv2d_macs(prepared.back().z.shape(), layer.w.shape());
    RunningStatistics& statistics = running.emplace_back();
    statistics.momentum = layer.momentum;
    statistics.eps = layer.eps;
    if (recomputing()) continue;
    statistics.mean = layer.running_mean;
    statistics.var = layer.running_var;
  }
  {
    const MaybeScope scope(layers.back().norm);
    check_batch_norm(prepared.back().z, {}, {}, {}, {}, {.training = true}, data_or_none(end.residual));
  }
  Tensor out = prepared.back().z.empty_like();
  conv_chain_forward(out, x.data(), prepared, running, {data_or_none(end.residual), end.relu});
  Saved saved{x.data(), end.relu ? out : Tensor()};
  for (ConvNorm& l : prepared) saved.insert(saved.end(), {l.w, l.gamma, l.beta, l.z, l.mean, l.invstd});
  return record(
      "conv_bn_chain", out, std::move(inputs), std::move(saved),
      [plan = std::move(plan)](Backward& b) { chain_backward(b, plan); }, info);
}

}  // namespace lathe
