#include "tools/plan.h"

#include <optional>

#include <fmt/format.h>

#include "core/json.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "train/build.h"
#include "train/step_memory.h"

namespace lathe::cli {

void print_model(const ModelInfo& info) {
  std::vector<std::vector<std::string>> rows = {{"parameter", "kind", "shape", "count", "bytes"}};
  for (const ParameterInfo& row : info.parameters) {
    rows.push_back({row.name, std::string(to_string(row.kind)), to_string(row.shape), grouped(row.numel),
                    row.tied_to.empty() ? grouped(row.bytes) : "tied to " + row.tied_to});
  }
  print_table(rows);
  rows = {{"layer", "type", "output", "MACs"}};
  for (const LayerInfo& row : info.layers)
    rows.push_back({row.name, row.type, to_string(row.output), grouped(row.macs)});
  fmt::print("\n");
  print_table(rows);
  fmt::print("\n{} parameters, {} as float32; {} elements of running statistics; {} MACs per sample\n",
             grouped(info.parameter_count), human_bytes(static_cast<double>(info.float_bytes)),
             grouped(info.buffer_count), grouped(info.macs));
}

void print_attach_table(const std::vector<AttachRow>& table) {
  if (table.empty()) return;
  std::vector<std::vector<std::string>> rows = {{"parameter", "quantizer", "options", "decided by"}};
  for (const AttachRow& row : table) {
    std::string options;
    if (row.options.is(Value::Type::Object)) {
      for (const auto& [key, value] : row.options.members()) {
        if (key != "type")
          options += fmt::format("{}{} {}", options.empty() ? "" : ", ", key, to_json(value));
      }
    }
    rows.push_back({row.parameter, row.method == "none" ? "float" : row.method, options, row.why});
  }
  fmt::print("\n");
  print_table(rows);
  fmt::print("\n");
}

namespace {

/// Empty where it cannot be found.
std::optional<MemoryPlan> memory_of(const Experiment& experiment, const TrainingObjects& objects) {
  try {
    return plan_memory(experiment, objects);
  } catch (const DeviceError&) {  // on a GPU, or a quantizer that looks at values in each step
    return {};
  }
}

Value to_value(const MemoryPlan& plan) {
  return Value::object({{"peak_rss_bytes", Value::integer(plan.total())},
                        {"process_bytes", Value::integer(plan.process)},
                        {"averages_bytes", Value::integer(plan.averages)},
                        {"batches_bytes", Value::integer(plan.batches)},
                        {"saved_bytes", Value::integer(plan.saved)},
                        {"step_bytes", Value::integer(plan.step)},
                        {"kernels_bytes", Value::integer(plan.kernels)}});
}

void print_memory(const MemoryPlan& plan) {
  const auto bytes = [](int64_t n) { return human_bytes(static_cast<double>(n)); };
  fmt::print(
      "peak memory about {}: program, data, model and optimizer {}, a step {} (of which forward leaves {} "
      "for "
      "backward), batches {}, averages {}, kernels {}\n",
      bytes(plan.total()), bytes(plan.process), bytes(plan.step), bytes(plan.saved), bytes(plan.batches),
      bytes(plan.averages), bytes(plan.kernels));
}

}  // namespace

int print_plan(const Session& session, const Experiment& experiment) {
  const TrainingObjects objects = build_training(experiment);
  const DatasetInfo& data = objects.data.train->info();
  const ModelInfo info = describe_model(experiment.model, experiment.where / "model", data.sample);
  const int64_t samples = objects.data.train->size();
  const int64_t steps = (samples + experiment.data_common.batch - 1) / experiment.data_common.batch;
  const std::optional<MemoryPlan> memory = memory_of(experiment, objects);
  if (session.json) {
    print_json(Value::object({{"experiment", resolve_experiment(experiment)},
                              {"model", to_value(info)},
                              {"quantizers", to_value(objects.quantizers)},
                              {"memory", memory ? to_value(*memory) : Value()},
                              {"train_samples", Value::integer(samples)},
                              {"test_samples", Value::integer(objects.data.test->size())},
                              {"steps_per_epoch", Value::integer(steps)},
                              {"steps", Value::integer(steps * experiment.train.epochs)}}));
    return kOk;
  }
  print_model(info);
  print_attach_table(objects.quantizers);
  fmt::print("{}: {} training and {} test samples of {}; {} epochs of {} steps at batch {}\n", data.type,
             grouped(samples), grouped(objects.data.test->size()), to_string(data.sample),
             experiment.train.epochs, grouped(steps), experiment.data_common.batch);
  if (memory) print_memory(*memory);
  return kOk;
}

}  // namespace lathe::cli
