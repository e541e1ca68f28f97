#include "autograd/ops/norm.h"

#include "autograd/checkpoint.h"
#include "autograd/ops/optional.h"
#include "core/kernels/norm.h"

namespace lathe {
namespace {

/// What parameters and statistics are kept in: x's dtype, f32 where x is bf16.
DType parameter_dtype(const Tensor& x) {
  return x.dtype() == DType::BF16 ? DType::F32 : x.dtype();
}

Tensor statistics(const Tensor& x, const Shape& shape) {
  return Tensor::empty(shape, parameter_dtype(x), x.device());
}

/// `t` is (channels) of parameter_dtype(x), or undefined.
void check_channels(const char* op, const char* name, const Tensor& t, const Tensor& x) {
  if (!t.defined()) return;
  LATHE_CHECK(ShapeError, t.shape() == Shape({x.dim(-1)}), op, ": ", name, " is ", t.shape(), ", input ",
              x.shape(), " has ", x.dim(-1), " channels");
  LATHE_CHECK(DTypeError, t.dtype() == parameter_dtype(x), op, ": ", name, " is ", t.dtype(), ", input ",
              x.dtype());
}

void check_affine(const char* op, const Var& x, const Var& gamma, const Var& beta) {
  check_channels(op, "gamma", data_or_none(gamma), x.data());
  check_channels(op, "beta", data_or_none(beta), x.data());
}

}  // namespace

void check_batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
                      const Tensor& running_var, const BatchNormOptions& options, const Tensor& residual) {
  check_channels("batch_norm", "gamma", gamma, x);
  check_channels("batch_norm", "beta", beta, x);
  const Shape& shape = x.shape();
  LATHE_CHECK(ShapeError, shape.rank() >= 2, "batch_norm: needs at least 2 axes, found ", shape);
  check_channels("batch_norm", "running mean", running_mean, x);
  check_channels("batch_norm", "running variance", running_var, x);
  LATHE_CHECK(ShapeError, running_mean.defined() == running_var.defined(),
              "batch_norm: running mean and variance are given together or not at all");
  if (options.training) {
    LATHE_CHECK(ShapeError, shape.numel() > shape[-1] || shape.numel() == 0,
                "batch_norm: training needs more than one value per channel, found ", shape);
  } else {
    LATHE_CHECK(ShapeError, running_mean.defined(), "batch_norm: evaluation needs running statistics");
  }
  if (residual.defined()) {
    LATHE_CHECK(ShapeError, residual.shape() == shape, "batch_norm: residual is ", residual.shape(),
                ", input ", shape);
    LATHE_CHECK(DTypeError, residual.dtype() == x.dtype(), "batch_norm: residual is ", residual.dtype(),
                ", input ", x.dtype());
  }
}

Var batch_norm(const Var& x, const Var& gamma, const Var& beta, Tensor running_mean, Tensor running_var,
               const BatchNormOptions& options, const Var& residual) {
  const Tensor& in = x.data();
  check_batch_norm(in, data_or_none(gamma), data_or_none(beta), running_mean, running_var, options,
                   data_or_none(residual));
  Tensor y = in.empty_like(), invstd = statistics(in, {in.dim(-1)}), mean = running_mean;
  if (options.training) {
    mean = statistics(in, {in.dim(-1)});
    if (recomputing()) running_mean = running_var = Tensor();
    kernels::batch_norm_training(y, mean, invstd, running_mean, running_var, in, data_or_none(gamma),
                                 data_or_none(beta), data_or_none(residual),
                                 {.momentum = options.momentum, .eps = options.eps, .relu = options.relu});
  } else {
    kernels::inverse_std(invstd, running_var, options.eps);
    kernels::batch_norm_apply(y, in, mean, invstd, data_or_none(gamma), data_or_none(beta),
                              data_or_none(residual), options.relu);
  }
  const BatchNormGradient gradient{.training = options.training, .relu = options.relu};
  return record("batch_norm", y, {x, gamma, beta, residual},
                Saved{in, options.relu ? y : Tensor(), mean, invstd, data_or_none(gamma)},
                [gradient](Backward& b) {
                  Tensor dx, dgamma, dbeta, dresidual;
                  if (b.wants(0)) dx = b.dx(0);
                  if (b.wants(1)) dgamma = b.dx(1);
                  if (b.wants(2)) dbeta = b.dx(2);
                  if (b.wants(3)) {
                    if (gradient.relu) {
                      dresidual = b.dx(3);
                    } else {
                      b.pass(3, b.dy());
                    }
                  }
                  kernels::batch_norm_backward(dx, dgamma, dbeta, dresidual, b.dy(), b.saved(0), b.saved(1),
                                               b.saved(2), b.saved(3), b.saved(4), gradient);
                });
}

Var layer_norm(const Var& x, const Var& gamma, const Var& beta, double eps) {
  LATHE_CHECK(ShapeError, x.data().rank() >= 1, "layer_norm: needs at least 1 axis");
  check_affine("layer_norm", x, gamma, beta);
  const Tensor& in = x.data();
  const Shape rows = in.shape().with(-1, 1);
  Tensor y = in.empty_like(), mean = statistics(in, rows), invstd = statistics(in, rows);
  kernels::layer_norm_forward(y, mean, invstd, in, data_or_none(gamma), data_or_none(beta), eps);
  return record("layer_norm", y, {x, gamma, beta}, Saved{in, mean, invstd, data_or_none(gamma)},
                [](Backward& b) {
                  Tensor dx, dgamma, dbeta;
                  if (b.wants(0)) dx = b.dx(0);
                  if (b.wants(1)) dgamma = b.dx(1);
                  if (b.wants(2)) dbeta = b.dx(2);
                  kernels::layer_norm_backward(dx, dgamma, dbeta, b.dy(), b.saved(0), b.saved(1), b.saved(2),
                                               b.saved(3));
                });
}

Var group_norm(const Var& x, const Var& gamma, const Var& beta, int64_t groups, double eps) {
  const Tensor& in = x.data();
  LATHE_CHECK(ShapeError, in.rank() >= 2, "group_norm: needs at least 2 axes, found ", in.shape());
  LATHE_CHECK(ShapeError, groups >= 1 && in.dim(-1) % groups == 0, "group_norm: ", in.dim(-1),
              " channels cannot be cut into ", groups, " groups");
  check_affine("group_norm", x, gamma, beta);
  const Shape sets{in.dim(0), groups};
  Tensor y = in.empty_like(), mean = statistics(in, sets), invstd = statistics(in, sets);
  kernels::group_norm_forward(y, mean, invstd, in, data_or_none(gamma), data_or_none(beta), eps);
  return record("group_norm", y, {x, gamma, beta}, Saved{in, mean, invstd, data_or_none(gamma)},
                [](Backward& b) {
                  Tensor dx, dgamma, dbeta;
                  if (b.wants(0)) dx = b.dx(0);
                  if (b.wants(1)) dgamma = b.dx(1);
                  if (b.wants(2)) dbeta = b.dx(2);
                  kernels::group_norm_backward(dx, dgamma, dbeta, b.dy(), b.saved(0), b.saved(1), b.saved(2),
                                               b.saved(3));
                });
}

}  // namespace lathe
