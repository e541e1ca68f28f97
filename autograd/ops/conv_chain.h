#pragma once
// Convolution, batch norm and relu, several times over, as one op.

#include <vector>

#include "autograd/var.h"
#include "core/error.h"
#include "core/kernels/conv.h"

namespace lathe {

/// conv2d(., w) without bias, then batch_norm in training with gamma, beta (K or both undefined).
struct ChainLayer {
  Var w, gamma, beta;
  Conv2dGeometry geometry;
  Tensor running_mean, running_var;  ///< as batch_norm's
  double momentum = 0.1, eps = 1e-5;
  const ErrorContext *conv = nullptr, *norm = nullptr;  ///< whom errors name
};

struct ChainEnd {
  bool relu = true;
  Var residual = {};  ///< out's shape; undefined for none
};

/// relu(norm(conv(.))) for every layer but the last, whose output is act(norm(conv(.)) + residual), act =
/// relu or the identity. Equals the composition of conv2d and batch_norm, but keeps the convolutions' outputs
/// only. x (N, H, W, C), at least one layer. Host and meta tensors, f32 or f64.
Var conv_bn_chain(const Var& x, const std::vector<ChainLayer>& layers, const ChainEnd& end);

}  // namespace lathe
