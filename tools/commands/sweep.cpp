#include "train/sweep.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/error.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "train/run_folder.h"
#include "train/signals.h"

namespace lathe::cli {
namespace {

struct SweepArguments {
  std::string file, out;
  SweepChanges changes;
};

std::string value_of(const SweepRow& row) {
  if (!row.value) return "none";
  return format_metric(row.metric, *row.value);
}

void print_rows(const std::vector<SweepRow>& rows) {
  std::vector<std::vector<std::string>> table = {{"point", rows.empty() ? "value" : rows.front().metric,
                                                  "bits", "zeros", "bytes", "of float", "BOPs (sparse)",
                                                  "trained", "front"}};
  for (const SweepRow& row : rows) {
    if (!row.error.empty()) {
      table.push_back({row.name, "diverged"});
      continue;
    }
    const Value* sparse = row.relative_bops.find("sparse");
    table.push_back({row.name, value_of(row), row.avg_bits > 0 ? fmt::format("{:.2f}", row.avg_bits) : "32",
                     fmt::format("{:.1f} %", 100 * row.sparsity), grouped(row.size_bytes),
                     fmt::format("{:.1f} %", 100 * static_cast<double>(row.size_bytes) /
                                                 static_cast<double>(std::max<int64_t>(1, row.float_bytes))),
                     sparse == nullptr ? "" : fmt::format("{:.2f} %", 100 * sparse->as_real()),
                     row.seconds > 0 ? human_time(row.seconds) : "", row.on_front ? "*" : ""});
  }
  print_table(table);
}

std::string state_of(const std::filesystem::path& folder, const SweepPoint& point) {
  if (!point.trained()) return fmt::format("quantized from {}", point.from);
  const RunPaths paths{folder / point.name};
  if (!paths.has_run()) return "to train";
  return std::filesystem::exists(paths.summary()) ? "trained" : "begun";
}

int print_points(const Sweep& sweep, const std::filesystem::path& folder) {
  std::vector<std::vector<std::string>> table = {{"point", "state", "changes"}};
  for (const SweepPoint& point : sweep.points)
    table.push_back({point.name, state_of(folder, point), fmt::format("{}", fmt::join(point.sets, "  "))});
  print_table(table);
  return kOk;
}

int sweep(const Session& session, SweepArguments arguments) {
  if (session.seed) arguments.changes.sets.push_back(fmt::format("seed={}", *session.seed));
  if (session.device != "auto") arguments.changes.sets.push_back("device=" + session.device);
  const Sweep sweep = load_sweep(arguments.file, arguments.changes);
  SweepRequest request;
  request.folder =
      arguments.out.empty() ? default_run_folder(sweep.name) : std::filesystem::path(arguments.out);
  if (session.dry_run) {
    check_sweep(sweep);
    return print_points(sweep, request.folder);
  }
  const SignalHandlers handlers;
  TerminalProgress progress;
  request.stop = &SignalHandlers::stop_requested();
  if (!session.quiet) {
    request.observers.push_back(&progress);
    request.on_point = [&](size_t index, size_t count, const SweepPoint& point) {
      progress.on_message(fmt::format("point {}/{}: {}", index + 1, count, point.name));
    };
  }
  const std::vector<SweepRow> rows = run_sweep(sweep, request);
  if (session.json) {
    print_json(to_value(rows));
  } else {
    print_rows(rows);
  }
  for (const SweepRow& row : rows)
    LATHE_CHECK(DivergedError, row.error.empty(), "point ", row.name, ": ", row.error);
  return kOk;
}

}  // namespace

void add_sweep(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand(
      "sweep", "Trains the points of a sweep file and evaluates each from its packed file: one table");
  command->footer(
      "The same command goes on where an earlier one stopped; finished points are kept. A * marks the points "
      "that\n"
      "no other beats in both metric and size. The table is also FOLDER/table.json.\n"
      "Examples:\n"
      "  lathe sweep train/experiments/sweeps/glyphs-bits.json\n"
      "  lathe sweep train/experiments/sweeps/resnet20-cifar10-finetune.json --set data.root=data/cifar10 "
      "--init resnet20.safetensors\n"
      "  lathe sweep SWEEP.json --dry-run               what there is to do");
  auto arguments = std::make_shared<SweepArguments>();
  command->add_option("SWEEP", arguments->file, "Sweep file (JSON)")->required();
  command
      ->add_option("--set", arguments->changes.sets,
                   "Change every point's experiment: a.b=v; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--init", arguments->changes.init,
                      "Start every trained point from these weights: a run or a safetensors file");
  command->add_option("--out", arguments->out, "Folder of the sweep; runs/NAME without it");
  command->add_flag("--dry-run", session.dry_run, "Check every point, list them, train nothing");
  add_device_option(*command, session);
  add_seed_option(*command, session, "Overrides the experiments' seed");
  add_common_options(*command, session);
  command->callback([&session, arguments] {
    session.command = [&session, arguments] { return sweep(session, *arguments); };
  });
}

}  // namespace lathe::cli
