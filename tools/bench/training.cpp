#include "tools/bench/training.h"

#include <algorithm>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"
#include "core/json.h"
#include "core/kernels/random.h"
#include "layers/separation_model.h"
#include "models/registry.h"
#include "quant/attach.h"
#include "train/model_state.h"
#include "train/separation.h"

namespace lathe::bench {
namespace {

constexpr Method kMethods[] = {
    {"float", nullptr},
    {"minmax 4", R"({"type": "minmax", "bits": 4})"},
    {"absmax 4", R"({"type": "absmax", "bits": 4})"},
    {"lsq 4", R"({"type": "lsq", "bits": 4})"},
    {"codeq 4", R"({"type": "codeq", "bits": 4})"},
    {"codeq mixed", R"({"type": "codeq", "learn_bits": true})"},
    {"diffq g8", R"({"type": "diffq", "group": 8})", true},
    {"diffq g16", R"({"type": "diffq", "group": 16})", true},
};

Tensor random_classes(const Shape& shape, int64_t classes, const Philox& philox) {
  Tensor drawn = Tensor::empty(shape, DType::I64);
  for (int64_t i = 0; i < drawn.numel(); ++i)
    drawn.mut<int64_t>()[i] = philox.below(static_cast<uint64_t>(i), static_cast<uint32_t>(classes));
  return drawn;
}

// n images and their classes, n sequences of token ids and the tokens that follow them, or n mixtures and
// their sources.
Batch random_batch(const Model& model, const TrainingCase& one) {
  const Philox philox{1, stream_id("bench"), 0};
  const Shape sample = one.sample.rank() > 0 ? one.sample : model_input_shape(one.model);
  std::vector<int64_t> dims = {one.batch};
  dims.insert(dims.end(), sample.begin(), sample.end());
  const Shape shape(dims);
  Batch batch{{}, {}, one.batch};
  if (model.input_dtype() == DType::I64) {
    batch.inputs = {random_classes(shape, one.classes, philox)};
    batch.targets = {random_classes(shape, one.classes, philox.at(1))};
  } else if (const auto* sound = dynamic_cast<const SeparationModel*>(&model)) {
    batch.inputs = {Tensor::empty(shape)};
    batch.targets = {Tensor::empty({one.batch, sample[0], sound->sources(), sound->channels()})};
    kernels::fill_normal(batch.inputs[0], 1.0, philox);
    kernels::fill_normal(batch.targets[0], 1.0, philox.at(1));
  } else {
    batch.inputs = {Tensor::empty(shape)};
    kernels::fill_normal(batch.inputs[0], 1.0, philox);
    batch.targets = {random_classes({one.batch}, one.classes, philox.at(1))};
  }
  return batch.to(one.device);
}

std::unique_ptr<Model> build_model(const TrainingCase& one) {
  auto model =
      model_registry().build(model_section(one), FieldPath(), RootOptions{.seed = 1, .device = one.device});
  model->run().activations = one.precision == "bf16" ? DType::BF16 : DType::F32;
  return model;
}

std::unique_ptr<Optimizer> build_optimizer(const TrainingCase& one, const Model& model) {
  const Value sgd = Value::object({{"type", Value::string("sgd")},
                                   {"lr", Value::real(one.lr)},
                                   {"momentum", Value::real(0.9)},
                                   {"weight_decay", Value::real(5e-4)}});
  const bool given = !one.optimizer.is(Value::Type::Null);
  return optimizer_registry().build(given ? one.optimizer : sgd, FieldPath(), unique_parameters(model));
}

std::unique_ptr<Task> build_task(const Model& model) {
  if (dynamic_cast<const SeparationModel*>(&model) != nullptr) {
    const Value l1 = Value::object({{"type", Value::string("l1")}});
    DatasetInfo data;
    data.task = DataTask::Separation;
    return separation_task(loss_registry().build(l1, FieldPath()), data);
  }
  const Value cross_entropy = Value::object({{"type", Value::string("cross_entropy")}});
  return classification_task(loss_registry().build(cross_entropy, FieldPath()));
}

}  // namespace

Value model_section(const TrainingCase& training_case) {
  Value section = training_case.model_options;
  section.set("type", Value::string(training_case.model));
  return section;
}

std::span<const Method> methods() {
  return kMethods;
}

TrainingCase quantized(TrainingCase training_case, const Method& method) {
  if (method.rule != nullptr) {
    Value rules = Value::array();
    rules.push_back(parse_json(method.rule, "bench"));
    training_case.quant = Value::object({{"rules", std::move(rules)}});
  }
  if (method.size_penalty) {
    training_case.regularizers.push_back(
        Value::object({{"type", Value::string("size")}, {"weight", Value::real(5)}}));
  }
  return training_case;
}

Training::Training(const TrainingCase& training_case)
    : math_{.tf32 = training_case.precision == "tf32", .winograd = math_mode().winograd},
      model_(build_model(training_case)),
      task_(build_task(*model_)),
      batch_(random_batch(*model_, training_case)) {
  attach_quantizers(*model_, training_case.quant, FieldPath());
  quantizers_ = quantizers_of(*model_);
  regularizers_ = build_regularizers(training_case.regularizers, FieldPath());
  optimizer_ = build_optimizer(training_case, *model_);
  for (const ParameterGroup& group : optimizer_->groups()) rates_.push_back(group.lr);
  for (Quantizer* quantizer : quantizers_) quantizer->initialise();
  device_step_ = std::make_unique<DeviceStep>(*model_, training_case.record);
}

Var Training::with_regularizers(Var loss) const {
  for (const auto& regularizer : regularizers_) {
    const Var term = regularizer->term(quantizers_, {});
    if (!term.defined()) continue;
    loss = loss.defined() ? add(loss, reshape(term, loss.shape())) : term;
  }
  return loss;
}

bool Training::steady() const {
  return std::all_of(quantizers_.begin(), quantizers_.end(), [](const auto* one) { return one->steady(); }) &&
         std::all_of(regularizers_.begin(), regularizers_.end(),
                     [](const auto& one) { return one->steady(); });
}

Tensor Training::advance() {
  RunState& run = model_->run();
  ++run.step;
  ++run.forward;
  const MathModeScope math(math_);
  const auto differentiate = [this](const Batch& batch) {
    const Var loss = task_->loss(*model_, batch);
    backward(with_regularizers(loss));
    return loss.data();
  };
  const Tensor loss = device_step_->run(batch_, run.step, steady(), differentiate);
  for (Quantizer* quantizer : quantizers_) quantizer->before_update({});
  optimizer_->step({rates_, {}});
  for (Quantizer* quantizer : quantizers_) quantizer->after_update();
  return loss;
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
