#include "autograd/ops/loss.h"

#include <algorithm>

namespace lathe {
namespace {

void check_cross_entropy(const Tensor& logits, const Tensor& targets, const CrossEntropyOptions& options) {
  LATHE_CHECK(ShapeError, logits.rank() >= 1 && logits.dim(-1) >= 1,
              "cross_entropy: logits need a last axis of classes, found ", logits.shape());
  const Shape rows(logits.shape().dims().first(static_cast<size_t>(logits.rank() - 1)));
  LATHE_CHECK(ShapeError, targets.shape() == rows, "cross_entropy: targets are ", targets.shape(),
              ", logits ", logits.shape(), " expect ", rows);
  LATHE_CHECK(DTypeError, targets.dtype() == DType::I64, "cross_entropy: targets are ", targets.dtype(),
              ", expected i64");
  LATHE_CHECK(ConfigError, options.label_smoothing >= 0 && options.label_smoothing <= 1,
              "cross_entropy: label_smoothing is ", options.label_smoothing, ", expected 0 to 1");
  const Tensor& weights = options.class_weights;
  if (!weights.defined()) return;
  LATHE_CHECK(ShapeError, weights.shape() == Shape({logits.dim(-1)}), "cross_entropy: class weights are ",
              weights.shape(), ", logits have ", logits.dim(-1), " classes");
  LATHE_CHECK(DTypeError, weights.dtype() == logits.dtype(), "cross_entropy: class weights are ",
              weights.dtype(), ", logits ", logits.dtype());
}

Var pair_loss(const char* op, const Var& x, const Var& t, PairLoss loss, Reduction reduction) {
  LATHE_CHECK(ShapeError, x.shape() == t.shape(), op, ": operands are ", x.shape(), " and ", t.shape());
  LATHE_CHECK(DTypeError, x.dtype() == t.dtype(), op, ": operands are ", x.dtype(), " and ", t.dtype());
  Tensor y = x.data().empty_like(reduction == Reduction::None ? x.shape() : Shape());
  kernels::pair_loss_forward(y, x.data(), t.data(), loss, reduction);
  return record(op, y, {x, t}, Saved{x.data(), t.data()}, [loss, reduction](Backward& b) {
    Tensor dx, dt;
    if (b.wants(0)) dx = b.dx(0);
    if (b.wants(1)) dt = b.dx(1);
    kernels::pair_loss_backward(dx, dt, b.dy(), b.saved(0), b.saved(1), loss, reduction);
  });
}

}  // namespace

Var cross_entropy(const Var& logits, const Tensor& targets, const CrossEntropyOptions& options) {
  const Tensor& x = logits.data();
  check_cross_entropy(x, targets, options);
  const CrossEntropyFlags flags{.reduction = options.reduction,
                                .label_smoothing = options.label_smoothing,
                                .ignore_index = options.ignore_index};
  Tensor y = x.empty_like(options.reduction == Reduction::None ? targets.shape() : Shape());
  Tensor lse = x.empty_like(targets.shape()), factor = x.empty_like(Shape({1}));
  kernels::cross_entropy_forward(y, lse, factor, x, targets, options.class_weights, flags);
  return record("cross_entropy", y, {logits}, Saved{x, lse, factor, targets, options.class_weights},
                [flags](Backward& b) {
                  kernels::cross_entropy_backward(b.dx(0), b.dy(), b.saved(0), b.saved(1), b.saved(2),
                                                  b.saved(3), b.saved(4), flags);
                });
}

Var soft_cross_entropy(const Var& logits, const Tensor& targets) {
  const Tensor& x = logits.data();
  LATHE_CHECK(ShapeError, x.rank() >= 1 && targets.shape() == x.shape(), "soft_cross_entropy: targets are ",
              targets.shape(), ", logits ", x.shape());
  LATHE_CHECK(DTypeError, targets.dtype() == x.dtype(), "soft_cross_entropy: targets are ", targets.dtype(),
              ", logits ", x.dtype());
  Tensor y = x.empty_like(Shape());
  Tensor lse = x.empty_like(Shape(x.shape().dims().first(static_cast<size_t>(x.rank() - 1))));
  kernels::soft_cross_entropy_forward(y, lse, x, targets);
  return record("soft_cross_entropy", y, {logits}, Saved{x, lse, targets}, [](Backward& b) {
    kernels::soft_cross_entropy_backward(b.dx(0), b.dy(), b.saved(0), b.saved(1), b.saved(2));
  });
}

Var l1_loss(const Var& x, const Var& y, Reduction reduction) {
  return pair_loss("l1_loss", x, y, PairLoss::L1, reduction);
}

Var mse_loss(const Var& x, const Var& y, Reduction reduction) {
  return pair_loss("mse_loss", x, y, PairLoss::Mse, reduction);
}

Var bce_with_logits(const Var& logits, const Var& targets, Reduction reduction) {
  return pair_loss("bce_with_logits", logits, targets, PairLoss::BceWithLogits, reduction);
}

}  // namespace lathe
