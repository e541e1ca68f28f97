#pragma once
// From an experiment to the objects it names.

#include <memory>

#include "data/dataset.h"
#include "layers/model.h"
#include "quant/attach.h"
#include "quant/regularizers.h"
#include "train/config/experiment.h"
#include "train/optim/optimizer.h"
#include "train/tasks.h"

namespace lathe {

/// The device an experiment asks for; "auto" takes the first GPU that this build can use, else the CPU.
/// DeviceError when it is not there.
Device experiment_device(const Experiment& experiment);

std::unique_ptr<Model> build_model(const Experiment& experiment, Device device);

/// ConfigError when a "model" section's classes are not the data's, or when the model cannot be built so or
/// cannot take the data's samples. Tried without memory.
void check_model(const Value& section, const FieldPath& where, const DatasetInfo& data);

std::unique_ptr<Task> build_task(const Experiment& experiment, const DatasetInfo& data);

/// All that a trainer needs, in an order in which it can be destroyed.
struct TrainingObjects {
  DataSplits data;
  std::unique_ptr<Model> model;
  std::vector<AttachRow> quantizers;  ///< what became of each parameter; empty without a "quant" section
  std::vector<std::unique_ptr<Regularizer>> regularizers;
  std::unique_ptr<Task> task;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Schedule> schedule;
};
TrainingObjects build_training(const Experiment& experiment);

}  // namespace lathe
