#include "layers/blocks.h"

#include "autograd/ops/pool.h"
#include "autograd/ops/shape.h"

namespace lathe {

Var conv_bn_act(const ConvBn& layer, const Var& x, const Epilogue& epilogue) {
  return layer.bn(layer.conv(x), epilogue);
}

Var residual_block(const ConvBn& first, const ConvBn& second, const Var& x, const Var& shortcut) {
  return conv_bn_act(second, conv_bn_act(first, x), {.relu = true, .residual = shortcut});
}

Var depthwise_separable(const ConvBn& depthwise, const ConvBn& pointwise, const Var& x) {
  return conv_bn_act(pointwise, conv_bn_act(depthwise, x));
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
