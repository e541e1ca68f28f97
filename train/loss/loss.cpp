#include "train/loss/loss.h"

#include <algorithm>

#include "autograd/ops/loss.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/embedding.h"

namespace lathe {
namespace {

const Tensor& target_of(const Batch& batch, const char* loss) {
  LATHE_CHECK(ShapeError, batch.targets.size() == 1, loss, ": expected one target tensor, found ",
              batch.targets.size());
  return batch.targets[0];
}

/// The targets in the output's shape and type: class indices become rows of 0 and 1.
Tensor values_for(const Var& output, const Batch& batch, const char* loss) {
  const Tensor& target = target_of(batch, loss);
  if (target.dtype() == DType::I64) return one_hot(target, output.dim(-1), output.dtype());
  LATHE_CHECK(ShapeError, target.shape() == output.shape(), loss, ": output is ", output.shape(),
              ", target is ", target.shape());
  return target.to(output.dtype());
}

/// (1 - s) p + s / classes: smoothing after mixing equals mixing after smoothing.
Tensor smooth(const Tensor& probabilities, double smoothing) {
  if (smoothing == 0) return probabilities;
  Tensor smoothed = probabilities.empty_like();
  const double classes = static_cast<double>(probabilities.shape()[-1]);
  kernels::unary(smoothed, probabilities, UnaryOp::Scale, {.a = 1 - smoothing});
  kernels::unary(smoothed, smoothed, UnaryOp::AddScalar, {.a = smoothing / classes});
  return smoothed;
}

struct CrossEntropyLossOptions {
  double label_smoothing = 0;
  void fields(FieldVisitor& v) {
    v.visit("label_smoothing", label_smoothing,
            {.doc = "share of each target that is spread evenly over the classes; in training only",
             .min = 0,
             .max = 1,
             .below_max = true});
  }
};

/// Takes class indices and, when labels were mixed, probabilities.
class CrossEntropyLoss : public Loss {
 public:
  explicit CrossEntropyLoss(const CrossEntropyLossOptions& options) : options_(options) {}
  Var operator()(const Var& output, const Batch& batch) const override {
    return evaluate(output, batch, options_.label_smoothing);
  }
  Var plain(const Var& output, const Batch& batch) const override { return evaluate(output, batch, 0); }
  bool plain_cross_entropy() const override { return options_.label_smoothing == 0; }

 private:
  static Var evaluate(const Var& output, const Batch& batch, double smoothing) {
    const Tensor& target = target_of(batch, "cross_entropy");
    if (target.dtype() == DType::I64) {
      CrossEntropyOptions options;
      options.label_smoothing = smoothing;
      return cross_entropy(output, target, options);
    }
    return soft_cross_entropy(output, smooth(values_for(output, batch, "cross_entropy"), smoothing));
  }
  CrossEntropyLossOptions options_;
};

struct NoOptions {
  void fields(FieldVisitor&) {}
};

class SoftCrossEntropyLoss : public Loss {
 public:
  Var operator()(const Var& output, const Batch& batch) const override {
    return soft_cross_entropy(output, values_for(output, batch, "soft_cross_entropy"));
  }
};

using ElementLoss = Var (*)(const Var&, const Var&, Reduction);

class ElementwiseLoss : public Loss {
 public:
  ElementwiseLoss(const char* name, ElementLoss loss, bool distance)
      : name_(name), loss_(loss), distance_(distance) {}
  Var operator()(const Var& output, const Batch& batch) const override {
    return loss_(output, Var(values_for(output, batch, name_)), Reduction::Mean);
  }
  bool distance() const override { return distance_; }

 private:
  const char* name_;
  ElementLoss loss_;
  bool distance_;
};

LossRegistry::Entry elementwise_entry(const char* name, std::string doc, ElementLoss loss, bool distance) {
  return make_entry<std::unique_ptr<Loss>>(name, std::move(doc), NoOptions{},
                                           [name, loss, distance](const NoOptions&) {
                                             return std::make_unique<ElementwiseLoss>(name, loss, distance);
                                           });
}

}  // namespace

const LossRegistry& loss_registry() {
  static const LossRegistry registry(
      "loss",
      {
          make_entry<std::unique_ptr<Loss>>("cross_entropy", "softmax cross-entropy of classes",
                                            CrossEntropyLossOptions{},
                                            [](const CrossEntropyLossOptions& options) {
                                              return std::make_unique<CrossEntropyLoss>(options);
                                            }),
          make_entry<std::unique_ptr<Loss>>(
              "soft_cross_entropy", "softmax cross-entropy of probabilities", NoOptions{},
              [](const NoOptions&) { return std::make_unique<SoftCrossEntropyLoss>(); }),
          elementwise_entry("l1", "mean absolute difference", &l1_loss, true),
          elementwise_entry("mse", "mean squared difference", &mse_loss, true),
          elementwise_entry("bce", "binary cross-entropy of each class from logits", &bce_with_logits, false),
      });
  return registry;
}

Tensor one_hot(const Tensor& classes_of_samples, int64_t classes, DType dtype) {
  LATHE_CHECK(ShapeError, classes_of_samples.rank() == 1, "one_hot: expected (n), found ",
              classes_of_samples.shape());
  Tensor rows = Tensor::empty({classes_of_samples.numel(), classes}, dtype, classes_of_samples.device());
  kernels::one_hot(rows, classes_of_samples);
  return rows;
}

}  // namespace lathe
