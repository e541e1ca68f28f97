#include "train/run.h"

#include "core/allocator.h"
#include "core/files.h"
#include "core/json.h"
#include "core/parallel.h"
#include "data/loader.h"
#include "train/build.h"
#include "train/checkpoint.h"
#include "train/config/identity.h"
#include "train/environment.h"
#include "train/model_state.h"
#include "train/packing.h"
#include "train/recorder.h"
#include "train/run_folder.h"
#include "train/stored_cost.h"
#include "train/trainer.h"

namespace lathe {
namespace {

void write_json(const std::filesystem::path& path, const Value& value) {
  write_atomic(path, to_json(value, 2) + "\n");
}

/// The first files of a new run; resolved.json last, because its presence says that a run is there.
void begin_run(const RunPaths& paths, const RunRequest& request, const Value& resolved,
               const Value& environment, const std::vector<AttachRow>& quantizers) {
  write_atomic(paths.experiment(),
               request.experiment_text.empty() ? to_json(resolved, 2) + "\n" : request.experiment_text);
  write_json(paths.environment(), environment);
  if (!quantizers.empty()) write_json(paths.quantizers(), to_value(quantizers));
  write_json(paths.resolved(), resolved);
  sync_directory(paths.folder);
}

/// Refuses to go on with another experiment or other samples.
void check_same_run(const RunPaths& paths, const Value& resolved, const Value& environment) {
  check_same_experiment(read_run_file(paths.resolved()), resolved, paths.folder);
  const Value before = read_run_file(paths.environment());
  const Value* data = before.find("data");
  LATHE_CHECK(FormatError, data != nullptr, paths.environment().string(), ": 'data' is missing");
  LATHE_CHECK(DataError, *data == *environment.find("data"), paths.folder.string(),
              ": the data changed since the run was begun: ", to_json(*data), " before, ",
              to_json(*environment.find("data")), " now");
}

PackedModel pack(const Value& resolved, const Value& input, const Model& model) {
  const auto section = [&](std::string_view key) { return *resolved.find(key); };
  return pack_model(
      to_value(PackedHeader{.name = section("name").as_string(),
                            .seed = section("seed").as_int(),
                            .model = section("model"),
                            .data = section("data"),
                            .loss = section("loss"),
                            .quant = section("quant"),
                            .input = input,
                            .winograd = *section("train").find("winograd") == Value::boolean(true)}),
      model);
}

/// The final figures; `packed` is in the run's folder, in `size` bytes.
Value summarize(const Trainer& trainer, const TrainingObjects& objects, const Experiment& experiment,
                const PackedModel& packed, int64_t size) {
  const Progress& progress = trainer.progress();
  const std::string metric = trainer.task().metric();
  const double* value = find_metric(trainer.metrics(), metric);
  const ModelInfo info =
      describe_model(experiment.model, experiment.where / "model", objects.data.train->info().sample);
  const StoredCost cost = stored_cost(packed, info, activation_bits(*objects.model));
  const bool quantized = cost.quantized_elements > 0;
  const double samples = static_cast<double>(progress.epochs * samples_per_epoch(*objects.data.train));
  Value metrics = Value::object();
  for (const Metric& one : trainer.metrics()) metrics.set(one.name, Value::real(one.value));
  return Value::object({{"name", Value::string(experiment.name)},
                        {"metric", Value::string(metric)},
                        {"value", value == nullptr ? Value() : Value::real(*value)},
                        {"metrics", std::move(metrics)},
                        {"steps", Value::integer(progress.step)},
                        {"epochs", Value::integer(progress.epoch)},
                        {"parameters", Value::integer(info.parameter_count)},
                        {"size_bytes", Value::integer(size)},
                        {"float_bytes", Value::integer(info.float_bytes)},
                        {"avg_bits", quantized ? Value::real(cost.avg_bits) : Value()},
                        {"sparsity", quantized ? Value::real(cost.sparsity) : Value()},
                        {"macs", Value::integer(cost.macs)},
                        {"bops", by_convention(cost.bops)},
                        {"relative_bops", by_convention(cost.relative_bops)},
                        {"seconds", Value::real(trainer.seconds())},
                        {"samples_per_second", Value::real(samples / trainer.train_seconds())},
                        {"peak_rss_bytes", Value::integer(peak_rss_bytes())}});
}

/// The metric before compression, where the run that this one began from knows it.
Value float_value_of(const std::string& init) {
  const RunPaths paths{init};
  if (init.empty() || !std::filesystem::is_regular_file(paths.summary())) return {};
  const Value summary = read_run_file(paths.summary());
  const Value *known = summary.find("float_value"), *value = summary.find("value"),
              *bits = summary.find("avg_bits");
  if (known != nullptr && known->is_number()) return *known;
  const bool is_float = bits != nullptr && bits->is(Value::Type::Null);
  return value != nullptr && is_float ? *value : Value();
}

/// Writes the packed model and the summary, which it returns.
Value end_run(const RunFolder& folder, const Trainer& trainer, const TrainingObjects& objects,
              const Experiment& experiment, const std::function<PackedModel()>& pack_it) {
  const RunPaths& paths = folder.paths();
  host_allocator::trim();  // steps are over: packing finds the memory that they had
  const PackedModel packed = [&] {
    const auto as_evaluated = trainer.evaluated();
    return pack_it();
  }();
  write_packed(paths.packed(), packed);
  Value summary = summarize(trainer, objects, experiment, packed,
                            static_cast<int64_t>(std::filesystem::file_size(paths.packed())));
  const Value environment = read_run_file(paths.environment());
  const Value* init = environment.find("init");
  const Value* before = init == nullptr ? nullptr : init->find("float_value");
  summary.set("float_value", before == nullptr ? Value() : *before);
  write_json(paths.summary(), summary);
  folder.set_status("done", trainer.progress().step);
  return summary;
}

void tell(const RunFolder& folder, const RunRequest& request, const std::string& message) {
  folder.log(message);
  for (TrainObserver* observer : request.observers) observer->on_message(message);
}

/// Restores the newest checkpoint, if there is one.
void go_on(const RunFolder& folder, const RunRequest& request, const std::string& experiment,
           Trainer& trainer) {
  const std::vector<std::filesystem::path> complete = list_checkpoints(folder.paths().checkpoints());
  if (!complete.empty()) {
    const Checkpoint checkpoint = read_checkpoint(complete.back());
    LATHE_CHECK(FormatError, checkpoint.state.experiment == experiment, folder.paths().checkpoints().string(),
                ": the newest checkpoint is of another experiment");
    try {
      trainer.restore(checkpoint);
    } catch (const FormatError& error) {
      throw FormatError(concat(complete.back().string(), ": ", error.brief()));
    }
  }
  tell(folder, request,
       concat("resumed after step ", trainer.progress().step, " of ", trainer.progress().total_steps));
}

/// status.json after a failure; the failure itself matters more than one here.
void note_failure(const RunFolder& folder, const char* status, int64_t step, const char* message) noexcept {
  try {
    folder.log(concat(status, ": ", message));
    folder.set_status(status, step, message);
  } catch (const std::exception&) {  // a full disk, most likely what failed before
  }
}

Value train_in(const RunFolder& folder, const Experiment& experiment, const RunRequest& request) {
  const Value resolved = resolve_experiment(experiment);
  const std::string hash = experiment_hash(resolved);
  if (experiment.threads) set_num_threads(static_cast<int>(*experiment.threads));
  const TrainingObjects objects = build_training(experiment);
  Value environment =
      describe_environment(objects.model->device(), objects.data.train.get(), objects.data.test.get());
  environment.set("init", Value::object({{"from", Value::string(request.init)},
                                         {"float_value", float_value_of(request.init)}}));

  TrainerOptions options;
  options.train = experiment.train;
  options.batch = experiment.data_common.batch;
  options.eval_batch = experiment.data_common.eval_batch.value_or(options.batch);
  options.seed = static_cast<uint64_t>(experiment.seed);
  options.stop = request.stop;
  const Value input = describe_input(objects.data.train->info());
  const auto pack_it = [&] { return pack(resolved, input, *objects.model); };
  options.stored_bytes = [&] { return packed_size(pack_it()); };
  if (!folder.fresh()) check_same_run(folder.paths(), resolved, environment);
  if (folder.fresh() && request.initialise) request.initialise(*objects.model);
  // Also of a run that was killed before its first checkpoint; a checkpoint replaces what this sets.
  for (Quantizer* quantizer : quantizers_of(*objects.model)) quantizer->initialise();
  Trainer trainer({*objects.model, *objects.task, *objects.optimizer, *objects.schedule, *objects.data.train,
                   objects.data.test.get(), objects.regularizers},
                  options);
  if (folder.fresh()) {
    // Weights from elsewhere are not in the experiment, so a run killed early needs them saved.
    if (request.initialise) {
      Checkpoint checkpoint = trainer.state();
      checkpoint.state.experiment = hash;
      write_checkpoint(folder.paths().checkpoints(), checkpoint, 1);
    }
    begin_run(folder.paths(), request, resolved, environment, objects.quantizers);
    if (!objects.quantizers.empty()) tell(folder, request, summarize(objects.quantizers));
  } else {
    go_on(folder, request, hash, trainer);
  }
  folder.set_status("running", trainer.progress().step);

  try {
    RunRecorder recorder(folder, {experiment.output, hash, trainer.progress().step, request.observers});
    std::vector<TrainObserver*> observers = request.observers;
    observers.push_back(&recorder);
    trainer.run(observers);
    return end_run(folder, trainer, objects, experiment, pack_it);
  } catch (const InterruptedError& error) {
    note_failure(folder, "interrupted", trainer.progress().step, error.what());
    LATHE_THROW(InterruptedError, error.what(), "; the state is saved, ", request.how_to_go_on);
  } catch (const std::exception& error) {
    note_failure(folder, "failed", trainer.progress().step, error.what());
    throw;
  }
}

}  // namespace

Value run_experiment(const Experiment& experiment, const RunRequest& request) {
  const RunFolder folder(request.folder.empty() ? default_run_folder(experiment.name) : request.folder,
                         request.resume);
  return train_in(folder, experiment, request);
}

}  // namespace lathe
