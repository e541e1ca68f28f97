#pragma once
// Fused updates over lists of tensors: one pass over all parameters of a group. Tensors at the same place of
// each list have the same shape; all share one dtype (f32 or f64). Elementwise, so the result does not depend
// on how the lists are cut.

#include "core/dispatch.h"

namespace lathe::kernels {

/// A limit on the norm of gradients whose squares' sum only the device knows.
struct DeviceClip {
  Tensor squares = {};  ///< one f64 element beside the gradients; undefined: no limit
  double limit = 0;
};

struct SgdUpdate {
  double lr = 0;
  double momentum = 0;
  double weight_decay = 0;
  double grad_scale = 1;  ///< multiplies the gradients first: the clipping coefficient
  bool nesterov = false;
  bool decoupled = false;  ///< p *= 1 - lr weight_decay first, instead of g += weight_decay p
  /// On a device: gradients are also multiplied by clip_coefficient(sqrt(squares), limit), and nothing is
  /// updated where the squares are not finite.
  DeviceClip clip = {};
};
/// g = grad_scale g + weight_decay p; momentum = m momentum + g; p -= lr (nesterov ? g + m momentum :
/// momentum). A momentum that starts at zero equals one that starts with the first gradient. Without momentum
/// (m = 0) the list `momentum` is empty and p -= lr g.
LATHE_KERNEL(sgd_update, std::span<Tensor> p, std::span<const Tensor> g, std::span<Tensor> momentum,
             const SgdUpdate& update);

struct AdamUpdate {
  double lr = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  double grad_scale = 1;
  bool decoupled = false;  ///< AdamW: p *= 1 - lr weight_decay first, instead of g += weight_decay p
  DeviceClip clip = {};    ///< as SgdUpdate's
};
/// m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; p -= lr mhat / (sqrt(vhat) + eps), with
/// mhat = m / (1 - beta1^t), vhat = v / (1 - beta2^t) and t = steps[i] >= 1, the number of this update of
/// tensor i (Kingma and Ba 2015; Loshchilov and Hutter 2019).
LATHE_KERNEL(adam_update, std::span<Tensor> p, std::span<const Tensor> g, std::span<Tensor> m,
             std::span<Tensor> v, std::span<const int64_t> steps, const AdamUpdate& update);

struct RmspropUpdate {
  double lr = 0;
  double alpha = 0.99;
  double eps = 1e-8;
  double momentum = 0;
  double weight_decay = 0;
  double grad_scale = 1;
  bool tf = false;       ///< TensorFlow's form: eps inside the root, lr inside the momentum
  DeviceClip clip = {};  ///< as SgdUpdate's
};
/// g = grad_scale g + weight_decay p; v = alpha v + (1 - alpha) g^2; r = g / (sqrt(v) + eps), with tf
/// lr g / sqrt(v + eps); momentum = m momentum + r; p -= lr momentum, with tf p -= momentum. Without momentum
/// (m = 0) the list `momentum` is empty and r takes its place.
LATHE_KERNEL(rmsprop_update, std::span<Tensor> p, std::span<const Tensor> g, std::span<Tensor> v,
             std::span<Tensor> momentum, const RmspropUpdate& update);

/// average = decay average + (1 - decay) x. Integer tensors (counters) are copied.
LATHE_KERNEL(ema_update, std::span<Tensor> average, std::span<const Tensor> x, double decay);

/// total (one f64 element) = sum over all tensors of x^2, added up in double over fixed chunks in a fixed
/// order.
LATHE_KERNEL(sum_of_squares, Tensor& total, std::span<const Tensor> x);

/// x *= factor, for every tensor.
LATHE_KERNEL(scale_in_place, std::span<Tensor> x, double factor);

}  // namespace lathe::kernels
