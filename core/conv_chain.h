#pragma once
// Chains of convolution, batch norm and relu on the host, in training: z_l = conv_l(h_{l-1}), h_l =
// relu(norm_l(z_l)), h_0 = x; out = act(norm_L(z_L) + residual). Only z_l and the statistics are kept; h_l is
// formed where it is read. No kernel: the composition is what CUDA devices run. On Device::meta() only the
// tensors are made that the host makes.

#include <span>

#include "core/kernels/conv.h"
#include "core/tensor.h"

namespace lathe {

/// A layer; one dtype, f32 or f64.
struct ConvNorm {
  Tensor w;            ///< (K, kh, kw, C / groups)
  Tensor gamma, beta;  ///< (K); undefined for 1 and 0
  Conv2dGeometry geometry;
  Tensor z;             ///< (N, OH, OW, K), written by the forward
  Tensor mean, invstd;  ///< (K), written by the forward
};

/// The running statistics (K) of a layer, both or neither defined: move as in batch_norm_training.
struct RunningStatistics {
  Tensor mean, var;
  double momentum = 0.1;
  double eps = 1e-5;  ///< of the variance under the root
};

/// What stands at the end of a chain; `residual` has out's shape, undefined for none.
struct ConvChainEnd {
  Tensor residual;
  bool relu = true;
};

void conv_chain_forward(Tensor& out, const Tensor& x, std::span<ConvNorm> layers,
                        std::span<RunningStatistics> running, const ConvChainEnd& end);

/// Gradients of a layer; undefined ones are not computed.
struct ConvNormGradients {
  Tensor dw, dgamma, dbeta;
};

struct ConvChainGradients {
  Tensor dx;                            ///< undefined: not wanted
  std::span<ConvNormGradients> layers;  ///< as the chain's
  Tensor dresidual;                     ///< of a residual that is not x, with relu; undefined: not wanted
  bool residual_is_x = false;           ///< its gradient is added to dx
};

/// `out` as the forward left it, undefined without relu.
void conv_chain_backward(ConvChainGradients& gradients, const Tensor& dy, const Tensor& out, const Tensor& x,
                         std::span<const ConvNorm> layers);

}  // namespace lathe
