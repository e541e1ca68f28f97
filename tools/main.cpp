#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/dtype.h"
#include "core/fields.h"
#include "core/log.h"
#include "core/parallel.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "train/version.h"

namespace lathe::cli {
namespace {

constexpr const char* kAbout =
    "Lathe trains networks that become small while they train.\n"
    "Results go to stdout, progress to stderr. `lathe COMMAND --help` shows a command's options and "
    "examples.";

constexpr const char* kExamples =
    "Examples:\n"
    "  lathe train train/experiments/glyphs.json          train ResNet-20 on generated images\n"
    "  lathe eval runs/glyphs                             its metrics on the test split\n"
    "  lathe train EXP.json --set train.epochs=2          change one value of an experiment\n"
    "  lathe list models                                  what there is";

int fail(int code, const std::string& message) {
  fmt::print(stderr, "lathe: error: {}\n", message);
  return code;
}

// A mistyped command gets the nearest name; everything else about the command line is CLI11's to check.
std::string unknown_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return {};
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  const std::string given = argv[1];
  if (std::find(names.begin(), names.end(), given) != names.end()) return {};
  const std::string near = nearest(given, names);
  return fmt::format("there is no command '{}'{}; see lathe --help", given,
                     near.empty() ? "" : fmt::format(", did you mean '{}'?", near));
}

int run(int argc, char** argv) {
  CLI::App app(kAbout, "lathe");
  app.footer(kExamples);
  app.set_version_flag("--version", std::string(version()));
  app.require_subcommand(1);
  Session session;
  session.program = argc > 0 ? argv[0] : "lathe";
  add_train(app, session);
  add_eval(app, session);
  add_info(app, session);
  add_import(app, session);
  add_export(app, session);
  add_gradcheck(app, session);
  add_bench(app, session);
  add_data(app, session);
  add_list(app, session);
  add_schema(app, session);
  add_prove_resume(app, session);

  if (const std::string message = unknown_command(app, argc, argv); !message.empty())
    return fail(kUsage, message);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    app.exit(help);
    return kOk;
  } catch (const CLI::ParseError& error) {
    return fail(kUsage, fmt::format("{}; see lathe --help", error.what()));
  }
  set_log_sink([quiet = session.quiet](LogLevel level, std::string_view message) {
    if (level == LogLevel::Warning) fmt::print(stderr, "lathe: warning: {}\n", message);
    if (level == LogLevel::Info && !quiet) fmt::print(stderr, "{}\n", message);
  });
  apply_common_options(session);
  return session.command();
}

}  // namespace

void add_common_options(CLI::App& command, Session& session) {
  command.add_option("--threads", session.threads, "Threads to use; results never depend on it")
      ->check(CLI::Range(1, 1024));
  command.add_option("--device", session.device, "auto, cpu or cuda:N");
  command.add_option("--seed", session.seed, "Overrides the experiment's seed");
  command.add_flag("--json", session.json, "Machine-readable result on stdout");
  command.add_flag("--quiet", session.quiet, "No progress");
}

void apply_common_options(const Session& session) {
  if (session.threads > 0) set_num_threads(session.threads);
  if (session.device == "auto") return;
  const Device device = Device::parse(session.device);
  LATHE_CHECK(DeviceError, device.type == DeviceType::Cpu, "device ", device,
              ": this build of Lathe has no CUDA kernels; use --device cpu");
}

}  // namespace lathe::cli

int main(int argc, char** argv) {
  using namespace lathe::cli;
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    const Failure failure = describe_failure(error);
    return fail(failure.code, failure.message);
  }
}
