#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <system_error>

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

std::string did_you_mean(const std::string& given, const std::vector<std::string>& names) {
  const std::string near = nearest(given, names);
  return near.empty() ? std::string() : fmt::format(", did you mean '{}'?", near);
}

// A command, and what stands behind it.
struct Chosen {
  const CLI::App* command;
  std::string path;  // "lathe data check"
  std::vector<std::string> rest;
};

Chosen choose(const CLI::App& app, int argc, char** argv) {
  Chosen chosen{&app, "lathe", {argv + std::min(argc, 1), argv + argc}};
  while (!chosen.rest.empty()) {
    const auto commands = chosen.command->get_subcommands({});
    const auto found = std::find_if(commands.begin(), commands.end(), [&](const CLI::App* command) {
      return command->get_name() == chosen.rest.front();
    });
    if (found == commands.end()) break;
    chosen.command = *found;
    chosen.path += " " + chosen.rest.front();
    chosen.rest.erase(chosen.rest.begin());
  }
  return chosen;
}

// A mistyped command or option gets the nearest name; everything else about the command line is CLI11's to
// check.
std::string unknown_option(const Chosen& chosen, const std::string& argument) {
  if (!argument.starts_with('-')) return fmt::format("one argument too many: '{}'", argument);
  const std::string given = argument.substr(0, argument.find('='));
  std::vector<std::string> names;
  for (const CLI::Option* option : chosen.command->get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    if (option->check_name(given)) return {};
  }
  return fmt::format("there is no option '{}'{}", given, did_you_mean(given, names));
}

std::string unknown_command(const Chosen& chosen) {
  std::vector<std::string> names;
  for (const CLI::App* command : chosen.command->get_subcommands({})) names.push_back(command->get_name());
  if (names.empty()) return {};
  if (chosen.rest.empty())
    return fmt::format("{}: expected a command: {}", chosen.path, fmt::join(names, ", "));
  const std::string& given = chosen.rest.front();
  if (given.starts_with('-')) return unknown_option(chosen, given);
  return fmt::format("there is no command '{} {}'{}", chosen.path, given, did_you_mean(given, names));
}

// Runs the command; a result that could not be written is no success.
int run_command(const Session& session) {
  const auto refuse = [](int code) { LATHE_THROW(IoError, "stdout: cannot write: ", std::strerror(code)); };
  int code = kOk;
  try {
    code = session.command();
  } catch (const std::system_error& error) {
    if (std::ferror(stdout) == 0) throw;
    refuse(error.code().value());
  }
  if (std::fflush(stdout) != 0) refuse(errno);
  return code;
}

int run(int argc, char** argv) {
  CLI::App app(kAbout, "lathe");
  app.footer(kExamples);
  app.set_version_flag("--version", std::string(version()));
  app.require_subcommand(1);
  Session session;
  add_train(app, session);
  add_eval(app, session);
  add_info(app, session);
  add_import(app, session);
  add_export(app, session);
  add_pack(app, session);
  add_gradcheck(app, session);
  add_bench(app, session);
  add_data(app, session);
  add_list(app, session);
  add_schema(app, session);
  add_run(app, session);
  add_sweep(app, session);
  add_prove_resume(app, session);

  const Chosen chosen = choose(app, argc, argv);
  const auto usage = [&](const std::string& message) {
    return fail(kUsage, fmt::format("{} (see {} --help)", message, chosen.path));
  };
  if (const std::string message = unknown_command(chosen); !message.empty()) return usage(message);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    app.exit(help);
    return kOk;
  } catch (const CLI::ExtrasError&) {
    return usage(unknown_option(chosen, app.remaining(true).front()));
  } catch (const CLI::ParseError& error) {
    return usage(error.what());
  }
  set_log_sink([quiet = session.quiet](LogLevel level, std::string_view message) {
    if (level == LogLevel::Warning) fmt::print(stderr, "lathe: warning: {}\n", message);
    if (level == LogLevel::Info && !quiet) fmt::print(stderr, "{}\n", message);
  });
  apply_common_options(session);
  return run_command(session);
}

}  // namespace

void add_common_options(CLI::App& command, Session& session) {
  command.add_option("--threads", session.threads, "Threads to use; results never depend on it")
      ->check(CLI::Range(1, 1024));
  command.add_flag("--json", session.json, "Machine-readable result on stdout");
  command.add_flag("--quiet", session.quiet, "No progress");
}

void add_device_option(CLI::App& command, Session& session) {
  command.add_option("--device", session.device, "auto, cpu or cuda:N")->capture_default_str();
}

void add_seed_option(CLI::App& command, Session& session, const char* what) {
  command.add_option("--seed", session.seed, what)
      ->check(CLI::Range(uint64_t{0}, static_cast<uint64_t>(std::numeric_limits<int64_t>::max())));
}

void apply_common_options(const Session& session) {
  if (session.threads > 0) set_num_threads(session.threads);
  if (session.device != "auto") available_device(session.device);  // its errors come first
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
