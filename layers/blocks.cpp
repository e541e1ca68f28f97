#include "layers/blocks.h"

#include <algorithm>
#include <array>

#include "autograd/ops/conv_chain.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/shape.h"

namespace lathe {
namespace {

/// Whether one op computes the layers: see conv_bn_chain (autograd/ops/conv_chain.h).
bool fuses(std::span<const ConvBn> layers, const Var& x) {
  const Module& any = layers[0].conv;
  if (x.data().device().type == DeviceType::Cuda || !any.training()) return false;
  if (x.dtype() != any.root_options().dtype || x.dtype() == DType::BF16) return false;
  return std::all_of(layers.begin(), layers.end(),
                     [](const ConvBn& layer) { return layer.conv.bias() == nullptr; });
}

ChainLayer chain_layer(const ConvBn& layer) {
  ChainLayer result;
  {
    const ErrorScope scope(layer.conv);
    result.w = layer.conv.weight().value();
  }
  const ErrorScope scope(layer.bn);
  const BatchNormOptions options = layer.bn.options();
  if (layer.bn.weight() != nullptr) result.gamma = layer.bn.weight()->value();
  if (layer.bn.bias() != nullptr) result.beta = layer.bn.bias()->value();
  result.geometry = layer.conv.geometry();
  result.running_mean = layer.bn.running_mean().data();
  result.running_var = layer.bn.running_var().data();
  result.momentum = options.momentum;
  result.eps = options.eps;
  result.conv = &layer.conv;
  result.norm = &layer.bn;
  return result;
}

/// Layers as one op; the first one's input site stands before it.
Var fuse(std::span<const ConvBn> layers, const Var& x, const Epilogue& epilogue) {
  Var in;
  {
    const ErrorScope scope(layers[0].conv);
    in = layers[0].conv.input()(x);
  }
  std::vector<ChainLayer> chain;
  for (const ConvBn& layer : layers) chain.push_back(chain_layer(layer));
  return conv_bn_chain(in, chain, ChainEnd{epilogue.relu, epilogue.residual});
}

}  // namespace

Var conv_bn_chain(std::span<const ConvBn> layers, const Var& x, const Epilogue& epilogue) {
  const bool one_op = fuses(layers, x);
  Var y = x;
  for (size_t first = 0, end = 0; first < layers.size(); first = end) {
    end = first + 1;
    while (one_op && end < layers.size() && layers[end].conv.input().attached() == nullptr) ++end;
    const Epilogue& behind = end == layers.size() ? epilogue : Epilogue{.relu = true};
    const ConvBn& layer = layers[first];
    y = one_op ? fuse(layers.subspan(first, end - first), y, behind) : layer.bn(layer.conv(y), behind);
  }
  return y;
}

Var conv_bn_act(const ConvBn& layer, const Var& x, const Epilogue& epilogue) {
  return conv_bn_chain(std::span(&layer, 1), x, epilogue);
}

Var residual_block(const ConvBn& first, const ConvBn& second, const Var& x, const Var& shortcut) {
  return conv_bn_chain(std::array{first, second}, x, {.relu = true, .residual = shortcut});
}

Var bottleneck_block(const ConvBn& first, const ConvBn& second, const ConvBn& third, const Var& x,
                     const Var& shortcut) {
  return conv_bn_chain(std::array{first, second, third}, x, {.relu = true, .residual = shortcut});
}

Var bn_act_conv(BatchNorm& bn, Conv2d& conv, const Var& x) {
  return conv(bn(x, {.relu = true}));
}

Var flatten_channels_first(const Var& x) {
  const int64_t n = x.dim(0), pixels = x.dim(1) * x.dim(2), channels = x.dim(3);
  const bool same_order = pixels == 1 || channels == 1;
  return reshape(same_order ? x : permute(x, {0, 3, 1, 2}), {n, channels * pixels});
}

Var pool_final_map(const Var& map, int64_t extent, int64_t downscale) {
  LATHE_CHECK(ShapeError, map.dim(1) == extent && map.dim(2) == extent, "global pool: the final map is ",
              map.dim(1), "x", map.dim(2), ", expected ", extent, "x", extent, ": give images of ",
              (extent - 1) * downscale + 1, " to ", extent * downscale, " pixels a side");
  return global_avg_pool2d(map);
}

}  // namespace lathe
