#include "train/build.h"

#include "core/json.h"
#include "data/loader.h"
#include "data/vocabulary.h"
#include "layers/separation_model.h"
#include "models/registry.h"
#include "train/model_info.h"

namespace lathe {

Device experiment_device(const Experiment& experiment) {
  const Device device = available_device(experiment.device);
  const std::string& precision = experiment.train.precision;
  LATHE_CHECK(ConfigError, precision == "f32" || device.type == DeviceType::Cuda,
              (experiment.where / "train" / "precision").path, ": ", precision,
              " needs a CUDA device, the run is on ", device);
  return device;
}

std::unique_ptr<Model> build_model(const Experiment& experiment, Device device) {
  RootOptions root;
  root.seed = static_cast<uint64_t>(experiment.seed);
  root.device = device;
  return model_registry().build(experiment.model, experiment.where / "model", root);
}

namespace {

/// What a language model and a text must agree on.
void check_tokens(const Value& model, const Value& section, const FieldPath& where, const DatasetInfo& data) {
  if (data.task != DataTask::Language) return;
  const Value* vocab = model.find("vocab");
  if (vocab == nullptr) {
    config_error(where / "type", section.line(),
                 concat("data set '", data.type, "' is text, '", model.find("type")->as_string(),
                        "' is no language model"));
  }
  if (vocab->as_int() != data.classes) {
    config_error(where / "vocab", section.line(),
                 concat("the model has ", vocab->as_int(), " tokens, the data set ", data.type, " has ",
                        data.classes));
  }
  const Value* padding = model.find("padding");
  if (padding == nullptr || padding->as_int() < 0) return;
  const Vocabulary vocabulary = Vocabulary::from_value(data.tokenizer, "data set " + data.type);
  const int64_t token = padding->as_int();
  if (token == vocabulary.padding()) return;
  config_error(where / "padding", section.line(),
               concat("the model takes token ", token, " for padding, ",
                      token < vocabulary.size() ? concat("in the data it is ", vocabulary.name(token))
                                                : concat("the data has ", vocabulary.size(), " tokens"),
                      "; expected ", vocabulary.padding()));
}

/// Batch norms behind a map of one pixel cannot be formed of one sample, and an epoch's last batch may be
/// one: told now, not at the end of the first epoch.
void check_last_batch(const Experiment& experiment, const Dataset& train) {
  const int64_t samples = samples_per_epoch(train), batch = experiment.data_common.batch;
  if (batch != 1 && samples % batch != 1) return;
  try {
    train_on_one(experiment.model, experiment.where / "model", train.info().sample);
  } catch (const ShapeError& error) {
    config_error(experiment.where / "data" / "batch", experiment.data.line(),
                 concat("found ", batch, ": of ", samples,
                        " samples the last batch has one, expected more: ", error.brief()));
  }
}

/// A stretch of another length would be cut at its end, and what the model gives for it would lie elsewhere
/// than about the middle, where loss() compares it with the sources.
void check_stretch(const Model& model, const Experiment& experiment, const DatasetInfo& data) {
  const auto* separates = dynamic_cast<const SeparationModel*>(&model);
  if (data.task != DataTask::Separation || separates == nullptr) return;
  const int64_t length = data.sample[0];
  const ValidLengths valid = valid_lengths_about(*separates, length);
  if (valid.below == length) return;
  config_error(experiment.where / "data" / "samples", experiment.data.line(),
               concat("found ", length, ", but the model takes whole frames: expected ", valid.below, " or ",
                      valid.above));
}

}  // namespace

void check_model(const Value& section, const FieldPath& where, const DatasetInfo& data) {
  const Value resolved = model_registry().resolve(section, where);
  check_tokens(resolved, section, where, data);
  const Value* classes = resolved.find("classes");
  if (data.classes > 0 && classes != nullptr && classes->as_int() != data.classes) {
    config_error(where / "classes", section.line(),
                 concat("the model has ", classes->as_int(), " classes, the data set ", data.type, " has ",
                        data.classes));
  }
  const auto refuse = [&](const Error& error) {
    config_error(where, section.line(),
                 concat("cannot take samples of ", data.sample, " (", data.type, "): ", error.brief()));
  };
  try {
    describe_model(section, where, data.sample);
  } catch (const ShapeError& error) {
    refuse(error);
  } catch (const ConfigError& error) {  // of the model: its options were read before
    refuse(error);
  }
}

std::unique_ptr<Task> build_task(const Experiment& experiment, const DatasetInfo& data) {
  std::unique_ptr<Loss> loss = loss_registry().build(experiment.loss, experiment.where / "loss");
  try {
    return task_for(data, std::move(loss));
  } catch (const ConfigError& error) {  // "loss: ..."
    config_error(experiment.where, experiment.loss.line(),
                 concat(error.brief(), ", found ", to_json(experiment.loss)));
  }
}

TrainingObjects build_training(const Experiment& experiment) {
  TrainingObjects objects;
  const Device device = experiment_device(experiment);
  objects.data = data_registry().build(experiment.data, experiment.where / "data",
                                       static_cast<uint64_t>(experiment.seed));
  check_model(experiment.model, experiment.where / "model", objects.data.train->info());
  check_last_batch(experiment, *objects.data.train);
  objects.model = build_model(experiment, device);
  check_stretch(*objects.model, experiment, objects.data.train->info());
  objects.quantizers = attach_quantizers(*objects.model, experiment.quant, experiment.where / "quant");
  objects.regularizers = build_regularizers(experiment.regularizers, experiment.where / "regularizers");
  if (!objects.regularizers.empty() && quantizers_of(*objects.model).empty()) {
    config_error(experiment.where / "regularizers", experiment.regularizers.line(),
                 "no parameter is quantized: there is nothing to regularise");
  }
  for (size_t i = 0; i < objects.regularizers.size(); ++i) {
    try {
      objects.regularizers[i]->check(quantizers_of(*objects.model));
    } catch (const ConfigError& error) {
      config_error((experiment.where / "regularizers")[i], experiment.regularizers.items()[i].line(),
                   error.brief());
    }
  }
  objects.task = build_task(experiment, objects.data.train->info());
  objects.optimizer = optimizer_registry().build(experiment.optimizer, experiment.where / "optimizer",
                                                 objects.model->parameters());
  objects.schedule = schedule_registry().build(experiment.schedule, experiment.where / "schedule");
  return objects;
}

}  // namespace lathe
