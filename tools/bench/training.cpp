#include "tools/bench/training.h"

#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"
#include "core/kernels/random.h"
#include "models/registry.h"
#include "quant/attach.h"
#include "train/model_state.h"

namespace lathe::bench {
namespace {

constexpr int64_t kClasses = 10;

Tensor random_classes(const Shape& shape, const Philox& philox) {
  Tensor classes = Tensor::empty(shape, DType::I64);
  for (int64_t i = 0; i < classes.numel(); ++i)
    classes.mut<int64_t>()[i] = philox.below(static_cast<uint64_t>(i), static_cast<uint32_t>(kClasses));
  return classes;
}

// n images and their classes, or n sequences of token ids and the tokens that follow them.
Batch random_batch(const Model& model, const Shape& sample, int64_t n) {
  const Philox philox{1, stream_id("bench"), 0};
  std::vector<int64_t> dims = {n};
  dims.insert(dims.end(), sample.begin(), sample.end());
  const Shape shape(dims);
  if (model.input_dtype() == DType::I64)
    return {{random_classes(shape, philox)}, {random_classes(shape, philox.at(1))}, n};
  Tensor x = Tensor::empty(shape);
  kernels::fill_normal(x, 1.0, philox);
  return {{x}, {random_classes({n}, philox.at(1))}, n};
}

std::unique_ptr<Model> build_model(const std::string& name) {
  const Value section = Value::object({{"type", Value::string(name)}});
  return model_registry().build(section, FieldPath(), RootOptions{.seed = 1});
}

std::unique_ptr<Optimizer> build_sgd(const Model& model) {
  const Value sgd = Value::object({{"type", Value::string("sgd")},
                                   {"lr", Value::real(0.1)},
                                   {"momentum", Value::real(0.9)},
                                   {"weight_decay", Value::real(5e-4)}});
  return optimizer_registry().build(sgd, FieldPath(), unique_parameters(model));
}

std::unique_ptr<Task> build_task() {
  const Value cross_entropy = Value::object({{"type", Value::string("cross_entropy")}});
  return classification_task(loss_registry().build(cross_entropy, FieldPath()));
}

}  // namespace

Training::Training(const TrainingCase& training_case)
    : model_(build_model(training_case.model)),
      task_(build_task()),
      batch_(random_batch(*model_, model_input_shape(training_case.model), training_case.batch)) {
  attach_quantizers(*model_, training_case.quant, FieldPath());
  quantizers_ = quantizers_of(*model_);
  regularizers_ = build_regularizers(training_case.regularizers, FieldPath());
  optimizer_ = build_sgd(*model_);
  for (Quantizer* quantizer : quantizers_) quantizer->initialise();
}

Var Training::with_regularizers(Var loss) const {
  for (const auto& regularizer : regularizers_) {
    const Var term = regularizer->term(quantizers_, {});
    if (!term.defined()) continue;
    loss = loss.defined() ? add(loss, reshape(term, loss.shape())) : term;
  }
  return loss;
}

double Training::step() {
  ++model_->run().step;
  ++model_->run().forward;
  const Var loss = task_->loss(*model_, batch_);
  backward(with_regularizers(loss));
  for (Quantizer* quantizer : quantizers_) quantizer->before_update({});
  const std::vector<double> rates(optimizer_->groups().size(), 0.1);
  optimizer_->step({rates, {}});
  for (Quantizer* quantizer : quantizers_) quantizer->after_update();
  return loss.data().item();
}

void Training::quantize_only() {
  ++model_->run().step;
  ++model_->run().forward;
  if (output_gradients_.empty()) {
    for (Quantizer* one : quantizers_) {
      output_gradients_.push_back(Tensor::empty(one->parameter().shape()));
      kernels::fill_normal(output_gradients_.back(), 1e-3,
                           {.seed = 1, .stream = stream_id("bench gradient")});
    }
  }
  for (Quantizer* one : quantizers_) one->parameter().quantized();
  for (size_t i = quantizers_.size(); i-- > 0;)
    backward(quantizers_[i]->parameter().quantized(), output_gradients_[i]);
  const Var term = with_regularizers(Var());
  if (term.defined()) backward(term);
  for (Quantizer* one : quantizers_) one->before_update({});
  for (Quantizer* one : quantizers_) one->after_update();
  optimizer_->drop_gradients();
}

int64_t Training::quantized_weights() const {
  int64_t sum = 0;
  for (const Quantizer* one : quantizers_) sum += one->parameter().numel();
  return sum;
}

int64_t Training::weights() const {
  int64_t sum = 0;
  for (const Parameter* one : unique_parameters(*model_)) {
    if (one->role() == Role::Weight) sum += one->numel();
  }
  return sum;
}

}  // namespace lathe::bench
