#include "train/step_memory.h"

#include <algorithm>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"
#include "core/block_cache.h"
#include "core/math_mode.h"
#include "core/parallel.h"
#include "train/environment.h"

namespace lathe {
namespace {

constexpr int64_t kAhead = 3;         // batches of a loader: two prepared ahead, one lent
constexpr int64_t kProbe = 8;         // samples of a step that shows what kernels take
constexpr int64_t kProbeTokens = 64;  // and tokens of a text: what kernels keep does not grow with them

/// The allocator behind a device's tensors.
struct Watched {
  bool meta;
  explicit Watched(Device device) : meta(device.type == DeviceType::Meta) {
    LATHE_CHECK(DeviceError, meta || device.type == DeviceType::Cpu, "step memory: found ", device,
                ", expected the host or meta");
  }
  BlockCache& memory() const { return meta ? meta_memory() : host_memory(); }
  AllocatorStats stats() const { return memory().stats(); }
  void start() const {
    memory().trim();
    memory().reset_peak();
  }
};

int64_t beyond(size_t now, size_t before) {
  return now > before ? static_cast<int64_t>(now - before) : 0;
}

Var with_regularizers(const StepParts& parts, Var loss) {
  const std::vector<Quantizer*> quantizers = quantizers_of(parts.model);
  for (const auto& regularizer : parts.regularizers) {
    const Var term = regularizer->term(quantizers, {});
    if (term.defined()) loss = add(loss, reshape(term, loss.shape()));
  }
  return loss;
}

void update_parameters(const StepParts& parts) {
  const std::vector<Quantizer*> quantizers = quantizers_of(parts.model);
  const std::vector<double> rates(parts.optimizer.groups().size(), 0.0);
  for (Quantizer* quantizer : quantizers) quantizer->before_update({});
  parts.optimizer.step({rates, {}});
  for (Quantizer* quantizer : quantizers) quantizer->after_update();
}

/// n samples of zeros; texts of at most `length` tokens.
Batch blank_batch(const Dataset& data, int64_t n, Device device, int64_t length = INT64_MAX) {
  Batch made = data.allocate(n);
  if (data.info().task == DataTask::Language) {
    const int64_t tokens = std::min(length, data.info().sample[0]);
    made = {{Tensor::empty({n, tokens}, DType::I64)}, {Tensor::empty({n, tokens}, DType::I64)}, n};
  }
  const auto blank = [&](const std::vector<Tensor>& from) {
    std::vector<Tensor> to;
    for (const Tensor& tensor : from) to.push_back(Tensor::zeros(tensor.shape(), tensor.dtype(), device));
    return to;
  };
  return {blank(made.inputs), blank(made.targets), n};
}

int64_t bytes_of(const Batch& batch) {
  size_t sum = 0;
  for (const auto* tensors : {&batch.inputs, &batch.targets}) {
    for (const Tensor& tensor : *tensors) sum += tensor.bytes();
  }
  return static_cast<int64_t>(sum);
}

/// The experiment's objects without memory. Made anew for each figure: weights stay quantized until the next
/// forward.
struct MetaObjects {
  std::unique_ptr<Model> model;
  std::vector<std::unique_ptr<Regularizer>> regularizers;
  std::unique_ptr<Task> task;
  std::unique_ptr<Optimizer> optimizer;
  StepParts parts() const { return {*model, *task, *optimizer, regularizers}; }
};

MetaObjects meta_objects(const Experiment& experiment, const DatasetInfo& data) {
  MetaObjects objects;
  objects.model = build_model(experiment, Device::meta());
  attach_quantizers(*objects.model, experiment.quant, experiment.where / "quant");
  objects.regularizers = build_regularizers(experiment.regularizers, experiment.where / "regularizers");
  objects.task = build_task(experiment, data);
  objects.optimizer = optimizer_registry().build(experiment.optimizer, experiment.where / "optimizer",
                                                 objects.model->parameters());
  return objects;
}

/// What a step of a few samples takes beyond its tensors.
int64_t kernels_memory(const Experiment& experiment, const TrainingObjects& objects) {
  const int64_t batch = experiment.data_common.batch;
  const MetaObjects meta = meta_objects(experiment, objects.data.train->info());
  const Dataset& data = *objects.data.train;
  const bool text = data.info().task == DataTask::Language;
  const int64_t samples = std::min(batch, std::max<int64_t>(text ? 1 : kProbe, num_threads()));
  for (Quantizer* quantizer : quantizers_of(*objects.model)) quantizer->initialise();
  const StepParts real{*objects.model, *objects.task, *objects.optimizer, objects.regularizers};
  const int64_t taken =
      step_memory(real, blank_batch(data, samples, Device::cpu(), kProbeTokens), 2, false).peak;
  const int64_t tensors =
      step_memory(meta.parts(), blank_batch(data, samples, Device::meta(), kProbeTokens), 2, false).peak;
  return std::max<int64_t>(0, taken - tensors);
}

/// Blocks of steps and of an evaluation after them.
void add_steps(MemoryPlan& plan, const MetaObjects& meta, const Batch& batch, const Batch& evaluated) {
  const Watched watched(Device::meta());
  const size_t before = watched.stats().live_bytes;
  const StepMemory step = step_memory(meta.parts(), batch, 3);
  {
    // In training mode: evaluation decodes codes, which takes values, and as much memory for the layers.
    const NoGrad no_grad;
    meta.model->forward(evaluated);
  }
  plan.saved = step.saved;
  plan.step = std::max(step.system, beyond(watched.stats().peak_system_bytes, before));
}

}  // namespace

StepMemory step_memory(const StepParts& parts, const Batch& batch, int64_t steps, bool update) {
  const Watched watched(parts.model.device());
  watched.start();
  const size_t before = watched.stats().live_bytes, system_before = watched.stats().system_bytes;
  RunState& run = parts.model.run();
  run.mode = Mode::Train;
  StepMemory memory;
  for (int64_t i = 0; i < steps; ++i) {
    ++run.step;
    ++run.forward;
    {
      const Var loss = with_regularizers(parts, parts.task.loss(parts.model, batch));
      memory.saved = beyond(watched.stats().live_bytes, before);
      backward(loss);
    }
    if (update) update_parameters(parts);
    parts.optimizer.drop_gradients();
  }
  memory.peak = beyond(watched.stats().peak_live_bytes, before);
  memory.system = beyond(watched.stats().peak_system_bytes, system_before);
  return memory;
}

MemoryPlan plan_memory(const Experiment& experiment, const TrainingObjects& objects) {
  LATHE_CHECK(DeviceError, objects.model->device() == Device::cpu(), "memory plan: the model is on ",
              objects.model->device(), ", expected the host");
  const MathModeScope math(experiment.train.math_mode());
  MemoryPlan plan;
  plan.process = std::max(resident_bytes(), int64_t{0});
  const MetaObjects meta = meta_objects(experiment, objects.data.train->info());
  const int64_t batch = experiment.data_common.batch;
  const int64_t evaluated = experiment.data_common.eval_batch.value_or(batch);
  const Batch blank = blank_batch(*objects.data.train, batch, Device::meta()),
              evaluation = blank_batch(*objects.data.test, evaluated, Device::meta());
  plan.batches = kAhead * (bytes_of(blank) + bytes_of(evaluation));
  if (experiment.train.ema) {
    const size_t before = meta_memory().stats().live_bytes;
    const Ema averages(*meta.model, *experiment.train.ema);
    plan.averages = beyond(meta_memory().stats().live_bytes, before);
  }
  add_steps(plan, meta, blank, evaluation);
  plan.kernels = kernels_memory(experiment, objects);
  return plan;
}

}  // namespace lathe
