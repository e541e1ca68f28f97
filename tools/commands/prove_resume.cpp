#include "train/prove_resume.h"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <thread>

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "core/files.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "train/config/experiment.h"

namespace lathe::cli {
namespace {

struct ProveArguments {
  std::string experiment;
  std::vector<std::string> sets;
  std::string out;
  ProveResumeOptions options;
};

/// A child process with its output in a file; waited for when it goes.
class Child {
 public:
  Child(const std::vector<std::string>& arguments, const std::string& log) {
    std::vector<char*> argv;
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                     0644);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    const int error = posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    LATHE_CHECK(IoError, error == 0,
                "prove-resume: could not start a training process: ", std::strerror(error));
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  /// True once it ended; status() is valid then.
  bool ended() {
    if (pid_ <= 0) return true;
    if (waitpid(pid_, &status_, WNOHANG) == 0) return false;
    pid_ = -1;
    return true;
  }
  void signal(int number) const {
    if (pid_ > 0) kill(pid_, number);
  }
  void wait() {
    while (!ended()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  int exit_code() const { return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1; }
  bool killed_by(int number) const { return WIFSIGNALED(status_) && WTERMSIG(status_) == number; }
  /// "exit code 3", "signal 9"
  std::string end() const {
    return WIFSIGNALED(status_) ? fmt::format("signal {}", WTERMSIG(status_))
                                : fmt::format("exit code {}", exit_code());
  }

 private:
  pid_t pid_ = -1;
  int status_ = 0;
};

std::vector<std::string> train_command(const Session& session, const ProveArguments& arguments,
                                       const TrainProcess& process) {
  std::vector<std::string> command = {
      "lathe", "train", arguments.experiment, "--out", process.folder.string(), "--quiet"};
  for (const std::string& set : arguments.sets) command.insert(command.end(), {"--set", set});
  if (session.seed) command.insert(command.end(), {"--seed", std::to_string(*session.seed)});
  if (session.threads > 0) command.insert(command.end(), {"--threads", std::to_string(session.threads)});
  if (session.device != "auto") command.insert(command.end(), {"--device", session.device});
  if (process.resume) command.emplace_back("--resume");
  return command;
}

/// What the process that wrote a log from `begin` on says of its failure; empty when it said nothing.
std::string last_error(const std::string& log, size_t begin) {
  constexpr std::string_view kMark = "lathe: error: ";
  const std::string text = read_text(log).substr(begin);
  const size_t at = text.rfind(kMark);
  if (at == std::string::npos) return {};
  const size_t from = at + kMark.size();
  return ": " + text.substr(from, text.find('\n', from) - from);
}

/// Of a process that nobody stopped. A run that trains, but does not go on, is what the proof looks for.
[[noreturn]] void fail(const TrainProcess& process, const Child& child, const std::string& said,
                       const std::string& log) {
  LATHE_CHECK(MismatchError, !process.resume, "prove-resume: the resumed run ended with ", child.end(), said,
              "; expected it to go on; its output is in ", log);
  throw ChildError(
      {child.exit_code() < 0 ? kBug : child.exit_code(),
       fmt::format("prove-resume: training ended with {}{}; its output is in {}", child.end(), said, log)});
}

bool run_process(const Session& session, const ProveArguments& arguments, const TrainProcess& process) {
  const std::string log = process.folder.string() + ".log";
  const size_t begin = std::filesystem::exists(log) ? std::filesystem::file_size(log) : 0;
  Child child(train_command(session, arguments, process), log);
  while (!child.ended()) {
    if (process.poll()) {
      child.signal(process.how == Stop::Kill ? SIGKILL : SIGTERM);
      child.wait();
      const int code = child.exit_code();
      if (code == kOk) return true;  // it was quicker than the signal
      if (process.how == Stop::Kill && !child.killed_by(SIGKILL)) break;
      // Before its handlers stand, as in a process that is still loading, SIGTERM ends it and saves nothing.
      const bool unprepared = child.killed_by(SIGTERM);
      LATHE_CHECK(MismatchError, process.how == Stop::Kill || code == kInterrupted || unprepared,
                  "prove-resume: a process that got SIGTERM ended with ", child.end(),
                  ", expected exit code ", static_cast<int>(kInterrupted), last_error(log, begin),
                  "; its output is in ", log);
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  if (child.exit_code() != kOk) fail(process, child, last_error(log, begin), log);
  return true;
}

int prove(const Session& session, ProveArguments& arguments) {
  const Experiment experiment =
      load_experiment(arguments.experiment, arguments.sets);  // its errors come first
  arguments.options.folder = arguments.out.empty()
                                 ? std::filesystem::path("runs") / (experiment.name + "-prove-resume")
                                 : std::filesystem::path(arguments.out);
  if (!session.quiet) {
    arguments.options.on_message = [](const std::string& message) { fmt::print(stderr, "{}\n", message); };
  }
  const ProveResumeReport report =
      prove_resume([&](const TrainProcess& process) { return run_process(session, arguments, process); },
                   arguments.options);
  if (session.json) {
    Value differences = Value::array();
    for (const std::string& difference : report.differences) differences.push_back(Value::string(difference));
    print_json(Value::object({{"stops", Value::integer(report.stops)},
                              {"tensors", Value::integer(report.tensors)},
                              {"bytes", Value::integer(report.bytes)},
                              {"events", Value::integer(report.events)},
                              {"differences", std::move(differences)}}));
  } else {
    fmt::print(
        "{} interruptions; compared {} tensors, {} bytes, {} events: {}\n", report.stops, report.tensors,
        grouped(report.bytes), report.events,
        report.differences.empty() ? "identical" : fmt::format("{} differences", report.differences.size()));
  }
  LATHE_CHECK(MismatchError, report.differences.empty(),
              "prove-resume: the interrupted run differs: ", report.differences.front());
  return kOk;
}

}  // namespace

void add_prove_resume(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand(
      "prove-resume",
      "Kills a run at random moments, resumes it, compares all state with an uninterrupted run");
  command->footer(
      "Exit code 7 when a single bit differs or a resume fails; training's own where it fails without one.\n"
      "Examples:\n  lathe prove-resume train/experiments/glyphs.json --set data.limit=2000 --set "
      "train.epochs=2");
  auto arguments = std::make_shared<ProveArguments>();
  command->add_option("EXP", arguments->experiment, "Experiment file")->required();
  command->add_option("--set", arguments->sets, "Change a value of the experiment: a.b=v; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--out", arguments->out, "Folder for both runs; runs/NAME-prove-resume without it");
  command->add_option("--stops", arguments->options.stops, "Interruptions, SIGKILL and SIGTERM in turn")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--stop-seed", arguments->options.seed, "Seed of the moments")->capture_default_str();
  add_device_option(*command, session);
  add_seed_option(*command, session, "Overrides the experiment's seed");
  add_common_options(*command, session);
  command->callback([&session, arguments] {
    session.command = [&session, arguments] { return prove(session, *arguments); };
  });
}

}  // namespace lathe::cli
