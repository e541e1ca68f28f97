#include <cstring>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/error.h"
#include "core/json.h"
#include "data/common.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "train/build.h"
#include "train/config/experiment.h"
#include "train/evaluate.h"
#include "train/saved_run.h"

namespace lathe::cli {
namespace {

struct EvalArguments {
  std::string run;
  std::string data;
  std::string split = "test";
  std::string logits;
  std::vector<std::string> sets;
};

// Where the samples come from: an experiment file's "data" when given, else the run's own.
DataSection data_of(const SavedRun& run, const EvalArguments& arguments) {
  if (!arguments.data.empty()) return load_data_section(arguments.data, arguments.sets);
  LATHE_CHECK(ConfigError, !run.data.is(Value::Type::Null), run.folder.string(),
              ": the run was imported without data; name an experiment file with --data");
  if (arguments.sets.empty()) return {run.data, run.where / "data"};
  return load_data_section(run.where.file, arguments.sets);
}

Tensor joined(const std::vector<Tensor>& parts, int64_t rows) {
  Tensor all = Tensor::empty(parts.front().shape().with(0, rows), parts.front().dtype());
  std::byte* to = all.raw_mut();
  for (const Tensor& part : parts) {
    std::memcpy(to, part.raw(), part.bytes());
    to += part.bytes();
  }
  return all;
}

/// "block 128, context 0, ..."
std::string in_words(const Value& protocol) {
  std::string words;
  for (const auto& [key, value] : protocol.members()) {
    if (!words.empty()) words += ", ";
    words += key + ' ' + (value.is(Value::Type::String) ? value.as_string() : to_json(value));
  }
  return words;
}

/// `protocol`: how a text was cut into what is scored; null: there is no such choice.
void print_result(const Session& session, const EvaluationResult& result, const Value* protocol) {
  if (session.json) {
    Value metrics = Value::object();
    for (const Metric& metric : result.metrics) metrics.set(metric.name, Value::real(metric.value));
    Value out = Value::object({{"metrics", std::move(metrics)}, {"samples", Value::integer(result.samples)}});
    Value counts = Value::object();
    for (const Count& count : result.counts) counts.set(count.name, Value::integer(count.value));
    out.set("counts", std::move(counts));
    if (protocol != nullptr) out.set("protocol", *protocol);
    if (result.quantized) {
      out.set("avg_bits", Value::real(result.quantized->avg_bits));
      out.set("sparsity", Value::real(result.quantized->sparsity));
    }
    out.set("logits_hash", Value::string(result.logits_hash));
    print_json(out);
    return;
  }
  for (const Metric& metric : result.metrics) {
    fmt::print("{:<12}{}\n", metric.name, format_metric(metric.name, metric.value, 6));
  }
  if (result.quantized) {
    fmt::print("{:<12}{:.3f}\n{:<12}{:.1f} %\n", "avg bits", result.quantized->avg_bits, "zeros",
               100 * result.quantized->sparsity);
  }
  for (const Count& count : result.counts) {
    if (count.value > 0) fmt::print("{:<12}{}\n", count.name, grouped(count.value));
  }
  if (protocol != nullptr) fmt::print("{:<12}{}\n", "protocol", in_words(*protocol));
  fmt::print("{:<12}{}\n{:<12}{}\n", "samples", grouped(result.samples), "logits hash", result.logits_hash);
}

int eval(const Session& session, const EvalArguments& arguments) {
  const SavedRun run = open_run(arguments.run);
  const std::unique_ptr<Model> model = load_run_model(run, available_device(session.device));
  const DataSection data = data_of(run, arguments);
  const std::unique_ptr<Dataset> split =
      evaluation_split(data.data, data.where, arguments.split, static_cast<uint64_t>(run.seed));
  check_model(run.model, run.where / "model", split->info());
  check_tokens(run, split->info());
  const DataCommon common = read_data_common(data_registry().resolve(data.data, data.where), data.where);
  std::vector<Tensor> outputs;
  EvaluateOptions options{.hash = true, .on_output = {}};
  if (!arguments.logits.empty()) options.on_output = [&](const Tensor& output) { outputs.push_back(output); };
  const MathModeScope math(run.math);
  const EvaluationResult result = evaluate(*model, *run_task(run, split->info()), *split,
                                           common.eval_batch.value_or(common.batch), options);
  if (!outputs.empty()) {
    write_safetensors(arguments.logits,
                      std::vector<NamedTensor>{{"logits", joined(outputs, result.samples)}});
  }
  const bool text = split->info().task == DataTask::Language;
  const Value description = text ? split->describe() : Value();
  print_result(session, result, text ? description.find("protocol") : nullptr);
  return kOk;
}

}  // namespace

void add_eval(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("eval", "Metrics of a run or a packed file, over a whole split");
  command->footer(
      "Examples:\n  lathe eval runs/glyphs\n  lathe eval runs/r20 --data "
      "train/experiments/resnet20-cifar10.json "
      "--set data.root=data/cifar10 --json\n  lathe eval runs/r20 --logits logits.safetensors");
  auto arguments = std::make_shared<EvalArguments>();
  command->add_option("RUN", arguments->run, "Folder of a run, or a packed file")->required();
  command->add_option("--data", arguments->data, "Experiment file of which only \"data\" is read");
  command->add_option("--set", arguments->sets, "Change a value of the experiment file: data.root=DIR")
      ->allow_extra_args(false);
  command->add_option("--split", arguments->split, "Split of the data")
      ->capture_default_str()
      ->check(CLI::IsMember({"train", "test"}));
  command->add_option("--logits", arguments->logits,
                      "Write the outputs, in the data's order, to this safetensors file");
  add_device_option(*command, session);
  add_common_options(*command, session);
  command->callback([&session, arguments] {
    session.command = [&session, arguments] { return eval(session, *arguments); };
  });
}

}  // namespace lathe::cli
