#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/plan.h"
#include "tools/progress.h"
#include "train/config/experiment.h"
#include "train/run.h"
#include "train/run_folder.h"
#include "train/saved_run.h"
#include "train/signals.h"

namespace lathe::cli {
namespace {

struct TrainArguments {
  std::string experiment;
  std::vector<std::string> sets;
  std::string out;
  std::string init;
  bool resume = false;
};

Experiment experiment_of(const Session& session, const TrainArguments& arguments) {
  std::vector<std::string> sets = arguments.sets;
  if (session.seed) sets.push_back(fmt::format("seed={}", *session.seed));
  if (session.device != "auto") sets.push_back("device=" + session.device);
  return load_experiment(arguments.experiment, sets);
}

void print_summary(const std::filesystem::path& folder, const Value& summary) {
  const auto real = [&](std::string_view key) {
    const Value* value = summary.find(key);
    return value != nullptr && value->is_number() ? value->as_real() : 0.0;
  };
  const Value* metric = summary.find("metric");
  std::string_view unit = rate_unit({});
  if (metric != nullptr && metric->is(Value::Type::String)) {
    unit = rate_unit(metric->as_string());
    const auto shown = [&](std::string_view key) { return format_metric(metric->as_string(), real(key)); };
    fmt::print("{} {}", metric->as_string(), shown("value"));
    if (summary.find("float_value")->is_number()) fmt::print(" (float {})", shown("float_value"));
  }
  if (summary.find("avg_bits")->is_number())
    fmt::print("  bits {:.2f}  zeros {:.0f} %", real("avg_bits"), 100 * real("sparsity"));
  fmt::print("  packed {}  float {}  {:.0f} {}  peak memory {}  {}\n", human_bytes(real("size_bytes")),
             human_bytes(real("float_bytes")), real("samples_per_second"), unit,
             human_bytes(real("peak_rss_bytes")), human_time(real("seconds")));
  fmt::print("run: {}\n", folder.string());
}

int train(const Session& session, const TrainArguments& arguments) {
  const Experiment experiment = experiment_of(session, arguments);
  if (session.threads == 0 && experiment.threads) {
    Session threads = session;
    threads.threads = static_cast<int>(*experiment.threads);
    apply_common_options(threads);
  }
  if (session.dry_run) return print_plan(session, experiment);
  const SignalHandlers handlers;
  TerminalProgress progress;
  RunRequest request;
  request.folder =
      arguments.out.empty() ? default_run_folder(experiment.name) : std::filesystem::path(arguments.out);
  request.experiment_text = read_text(arguments.experiment);
  request.resume = arguments.resume;
  request.init = arguments.init;
  if (!arguments.init.empty()) request.initialise = initialiser(arguments.init);
  request.stop = &SignalHandlers::stop_requested();
  if (!session.quiet) request.observers.push_back(&progress);
  const Value summary = run_experiment(experiment, request);
  if (session.json) {
    print_json(summary);
  } else {
    print_summary(request.folder, summary);
  }
  return kOk;
}

}  // namespace

void add_train(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("train", "Trains an experiment, evaluates it and saves checkpoints");
  command->footer(
      "Ctrl-C saves a checkpoint and ends with exit code 75; --resume goes on with the same bits.\n"
      "Examples:\n"
      "  lathe train train/experiments/glyphs.json\n"
      "  lathe train train/experiments/resnet20-cifar10-quick.json --set data.root=data/cifar10 --out "
      "runs/r20\n"
      "  lathe train EXP.json --set optimizer.lr=0.05 --set train.epochs=3 --dry-run\n"
      "  lathe train EXP.json --resume\n"
      "  lathe train EXP.json --init runs/r20        fine-tune from a run's weights");
  auto arguments = std::make_shared<TrainArguments>();
  command->add_option("EXP", arguments->experiment, "Experiment file (JSON; see lathe schema)")->required();
  command->add_option("--set", arguments->sets, "Change a value of the experiment: a.b=v; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--out", arguments->out, "Folder of the run; runs/NAME without it");
  command->add_option("--init", arguments->init, "Start from the weights of a run or of a safetensors file");
  command->add_flag("--resume", arguments->resume, "Go on from the newest checkpoint");
  command->add_flag("--dry-run", session.dry_run,
                    "Check everything, print the plan and the peak memory to expect, train nothing");
  add_device_option(*command, session);
  add_seed_option(*command, session, "Overrides the experiment's seed");
  add_common_options(*command, session);
  command->callback([&session, arguments] {
    session.command = [&session, arguments] { return train(session, *arguments); };
  });
}

}  // namespace lathe::cli
