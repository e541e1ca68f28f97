#pragma once
// The blocks that models are made of, by name, so that a fused op can replace a composition in one place.

#include <span>

#include "layers/conv.h"
#include "layers/norm.h"

namespace lathe {

/// A convolution and the batch norm behind it.
struct ConvBn {
  Conv2d& conv;
  BatchNorm& bn;
};

/// bn(conv(.)) of every layer in order with relu after each but the last, which has `epilogue`. One op
/// (autograd/ops/conv_chain.h) where the host trains, from one activation quantizer to the next; elsewhere
/// the composition.
Var conv_bn_chain(std::span<const ConvBn> layers, const Var& x, const Epilogue& epilogue = {.relu = true});

/// epilogue(bn(conv(x))); relu unless said otherwise.
Var conv_bn_act(const ConvBn& layer, const Var& x, const Epilogue& epilogue = {.relu = true});

/// relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut)
Var residual_block(const ConvBn& first, const ConvBn& second, const Var& x, const Var& shortcut);

/// relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut)
Var bottleneck_block(const ConvBn& first, const ConvBn& second, const ConvBn& third, const Var& x,
                     const Var& shortcut);

/// conv(relu(bn(x))): the pre-activation order.
Var bn_act_conv(BatchNorm& bn, Conv2d& conv, const Var& x);

/// (N, H, W, C) -> (N, C H W) with channels slowest, as models of other frameworks flatten.
Var flatten_channels_first(const Var& x);

/// Mean over a final map that must be `extent` x `extent`: (N, extent, extent, C) -> (N, C). ShapeError
/// naming the image sizes that fit, (extent - 1) `downscale` < size <= extent `downscale`.
Var pool_final_map(const Var& map, int64_t extent, int64_t downscale);

}  // namespace lathe
