#pragma once
// What memory training takes, found without taking it.

#include <memory>
#include <span>

#include "quant/regularizers.h"
#include "train/build.h"
#include "train/ema.h"

namespace lathe {

/// What a step works with.
struct StepParts {
  Model& model;
  Task& task;
  Optimizer& optimizer;
  std::span<const std::unique_ptr<Regularizer>> regularizers = {};
};

/// Bytes of tensors beyond what was there before the first step, by the allocator of the model's device.
struct StepMemory {
  int64_t saved = 0;   ///< alive between forward and backward: the graph, quantized weights
  int64_t peak = 0;    ///< most that is alive at once
  int64_t system = 0;  ///< asked of the system: more than `peak`, since a block serves similar sizes only
};

/// Makes steps as a trainer does, `steps` of them, and watches the allocator. On Device::meta() nothing is
/// computed and no memory is there, but every block is asked for and released in the same order, so that the
/// figures are those of the host, less what kernels take inside. Quantizers need not be initialised there;
/// one that looks at values is a DeviceError. `update` false: no parameter changes.
StepMemory step_memory(const StepParts& parts, const Batch& batch, int64_t steps, bool update = true);

/// Memory of a whole run on the host.
struct MemoryPlan {
  int64_t process = 0;   ///< resident before the first step: program, data sets, model, optimizer
  int64_t averages = 0;  ///< of train.ema
  int64_t batches = 0;   ///< that are prepared ahead, of both splits
  int64_t saved = 0;     ///< part of `step`: what forward leaves for backward
  int64_t step = 0;      ///< blocks of a step and of an evaluation
  int64_t kernels = 0;   ///< that kernels keep for themselves
  int64_t total() const { return process + averages + batches + step + kernels; }
};

/// The peak resident size that a run of the experiment will have. `objects` are the experiment's, on the
/// host: a step of a few samples shows what kernels take, so the model is not fit for training afterwards.
/// The rest is a step at full size on Device::meta(). DeviceError where a quantizer looks at values there
/// (freezing), and for objects on another device.
MemoryPlan plan_memory(const Experiment& experiment, const TrainingObjects& objects);

}  // namespace lathe
