#include "train/run.h"

#include <cmath>
#include <csignal>
#include <fstream>
#include <set>

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/files.h"
#include "core/json.h"
#include "core/parallel.h"
#include "tests/support/scratch.h"
#include "train/checkpoint.h"
#include "train/prove_resume.h"
#include "train/run_folder.h"
#include "train/signals.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using tests::ScratchFolder;

constexpr const char* kExperiment = R"({
  "schema": 1, "name": "tiny", "seed": 4,
  "data": {"type": "glyphs", "train": 150, "test": 40, "batch": 32, "augment": [{"type": "flip"}]},
  "model": {"type": "mlp", "input": [32, 32, 3], "hidden": [8], "classes": 10},
  "optimizer": {"type": "sgd", "lr": 0.05, "momentum": 0.9},
  "schedule": {"type": "cosine", "warmup_epochs": 1},
  "train": {"epochs": 4, "clip_norm": 1.0, "ema": 0.9},
  "output": {"checkpoint_epochs": 1, "keep": 2}
})";  // 5 steps an epoch

Experiment tiny(const std::vector<std::string>& sets = {}) {
  return parse_experiment(kExperiment, "tiny", sets);
}

Value read_json(const fs::path& path) {
  return parse_json(read_text(path), path.string());
}
std::string status_of(const fs::path& run) {
  return read_json(run / "status.json").find("status")->as_string();
}

/// Asks to stop in the step that makes `step` of them.
struct StopAt : TrainObserver {
  explicit StopAt(int64_t s) : step(s) {}
  void on_step(const Progress& progress) override { stop = progress.step >= step; }
  int64_t step;
  std::atomic<bool> stop{false};
};

void run_until(const fs::path& folder, int64_t step, bool resume, const std::vector<std::string>& sets = {}) {
  StopAt stopper(step);
  CHECK_THROWS_AS(run_experiment(tiny(sets), {.folder = folder,
                                              .experiment_text = kExperiment,
                                              .resume = resume,
                                              .initialise = {},
                                              .observers = {&stopper},
                                              .stop = &stopper.stop}),
                  InterruptedError);
}

Value run_through(const fs::path& folder, bool resume, const std::vector<std::string>& sets = {}) {
  RunRequest request;
  request.folder = folder;
  request.experiment_text = kExperiment;
  request.resume = resume;
  return run_experiment(tiny(sets), request);
}

std::set<std::string> entries(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

/// Changes what the newest checkpoint remembers.
void set_progress(const fs::path& run, const char* key, Value value) {
  Checkpoint checkpoint = read_newest_checkpoint(run / "checkpoints").value();
  checkpoint.state.progress.set(key, std::move(value));
  write_checkpoint(run / "checkpoints", checkpoint, 2);
}

void expect_equal_runs(const fs::path& a, const fs::path& b) {
  ProveResumeReport report;
  compare_runs(a, b, report);
  CHECK(report.tensors > 0);
  for (const std::string& difference : report.differences) FAIL_CHECK(difference);
}

}  // namespace

TEST_SUITE_BEGIN("train");

TEST_CASE("a run leaves everything that tells its story") {
  const ScratchFolder scratch;
  const fs::path run = scratch / "run";
  const Value summary = run_through(run, false);
  CHECK(entries(run) == std::set<std::string>{"experiment.json", "resolved.json", "environment.json",
                                              "metrics.jsonl", "summary.json", "status.json", "train.log",
                                              "model.lathe", "checkpoints"});
  CHECK(entries(run / "checkpoints") == std::set<std::string>{"step-00000015", "step-00000020"});
  CHECK(read_text(run / "experiment.json") == kExperiment);
  CHECK(read_json(run / "resolved.json") == resolve_experiment(tiny()));
  CHECK(status_of(run) == "done");
  CHECK(read_json(run / "summary.json") == summary);
  CHECK(summary.find("metric")->as_string() == "top1");
  CHECK(summary.find("value")->as_real() >= 0);
  CHECK(summary.find("steps")->as_int() == 20);
  CHECK(summary.find("parameters")->as_int() == 3072 * 8 + 8 + 8 * 10 + 10);
  CHECK(summary.find("float_bytes")->as_int() == 4 * summary.find("parameters")->as_int());
  CHECK(summary.find("macs")->as_int() == 3072 * 8 + 8 * 10);
  CHECK(summary.find("peak_rss_bytes")->as_int() > 1000000);
  const Value environment = read_json(run / "environment.json");
  CHECK(environment.find("data")->find("train")->find("samples")->as_int() == 150);
  CHECK(environment.find("data")->find("test")->find("hash")->as_string().size() == 16);

  std::ifstream lines(run / "metrics.jsonl");
  std::string line;
  std::vector<std::string> events;
  while (std::getline(lines, line)) {
    const Value event = parse_json(line, "metrics.jsonl");
    for (const char* key : {"event", "step", "epoch", "time", "loss"}) CHECK(event.find(key) != nullptr);
    events.push_back(event.find("event")->as_string());
  }
  CHECK(events ==
        std::vector<std::string>{"epoch", "eval", "epoch", "eval", "epoch", "eval", "epoch", "eval"});
}

TEST_CASE("samples a second are those that were trained on, repeated augmentation's rounding included") {
  const ScratchFolder scratch;
  const Value summary = run_through(scratch / "run", false, {"data.train=300", "data.repeats=2"});
  const Checkpoint last = read_newest_checkpoint(scratch / "run" / "checkpoints").value();
  const double seconds = last.state.progress.find("train_seconds")->as_real();
  CHECK(summary.find("samples_per_second")->as_real() * seconds == doctest::Approx(4 * 256));
}

TEST_CASE("interrupted anywhere and resumed, a run ends with the same bits and the same events") {
  const ScratchFolder scratch;
  run_through(scratch / "continuous", false);
  run_until(scratch / "parts", 3, false);
  CHECK(status_of(scratch / "parts") == "interrupted");
  CHECK(entries(scratch / "parts" / "checkpoints") == std::set<std::string>{"step-00000003"});
  run_until(scratch / "parts", 10, true);
  run_until(scratch / "parts", 12, true);
  run_through(scratch / "parts", true);
  CHECK(status_of(scratch / "parts") == "done");
  expect_equal_runs(scratch / "continuous", scratch / "parts");
}

TEST_CASE("a run without its first checkpoint begins again as a fresh one does, quantizers too") {
  const ScratchFolder scratch;
  const std::vector<std::string> lsq{R"(quant={"rules": [{"type": "lsq"}]})"};
  run_through(scratch / "continuous", false, lsq);
  run_until(scratch / "killed", 3, false, lsq);
  fs::remove_all(scratch / "killed" / "checkpoints");
  run_through(scratch / "killed", true, lsq);
  expect_equal_runs(scratch / "continuous", scratch / "killed");
}

TEST_CASE("events after the checkpoint are written again, not twice") {
  const ScratchFolder scratch;
  run_through(scratch / "continuous", false);
  run_until(scratch / "killed", 12, false);
  // As if SIGKILL had come before the last checkpoint: events of epoch 2 are there, its checkpoint is not.
  fs::remove_all(scratch / "killed" / "checkpoints" / "step-00000012");
  fs::remove_all(scratch / "killed" / "checkpoints" / "step-00000010");
  std::ofstream(scratch / "killed" / "metrics.jsonl", std::ios::app) << R"({"event": "epoch", "st)";
  run_through(scratch / "killed", true);
  expect_equal_runs(scratch / "continuous", scratch / "killed");
}

TEST_CASE("a metric that is no number stops no resume; a state that is wrong is named with its key") {
  const ScratchFolder scratch;
  const fs::path run = scratch / "run";
  run_through(scratch / "continuous", false);
  run_until(run, 7, false);
  set_progress(run, "metrics", Value::object({{"loss", Value::real(INFINITY)}, {"sdr", Value()}}));
  run_until(run, 8, true);
  set_progress(run, "seconds", Value::string("long"));
  std::string message;
  try {
    run_through(run, true);
  } catch (const FormatError& error) {
    message = error.what();
  }
  CHECK(message.find((run / "checkpoints/step-00000008").string() + ": state.json:") == 0);
  CHECK(message.find(": progress.seconds: expected a number, found the string") != std::string::npos);
  set_progress(run, "seconds", Value::real(1));
  run_through(run, true);
  expect_equal_runs(scratch / "continuous", run);
}

TEST_CASE("a resume refuses another experiment and allows what does not matter") {
  const ScratchFolder scratch;
  const fs::path run = scratch / "run";
  run_until(run, 7, false);
  try {
    run_through(run, true, {"optimizer.lr=0.1"});
    FAIL("another learning rate was accepted");
  } catch (const ConfigError& error) {
    CHECK(std::string(error.what()).find("optimizer.lr") != std::string::npos);
  }
  CHECK_THROWS_AS(run_through(run, true, {"train.epochs=9"}), ConfigError);
  CHECK_THROWS_AS(run_through(run, true, {"data.train=149"}), ConfigError);
  CHECK(status_of(run) == "interrupted");
  CHECK_NOTHROW(run_through(run, true, {"output.keep=1", "threads=1"}));
  CHECK(entries(run / "checkpoints").size() == 1);
}

TEST_CASE("a folder belongs to one run and one process") {
  const ScratchFolder scratch;
  CHECK_THROWS_AS(run_through(scratch / "none", true), ConfigError);
  run_until(scratch / "run", 2, false);
  CHECK_THROWS_AS(run_through(scratch / "run", false), ConfigError);
  fs::create_directory(scratch / "other");
  write_atomic(scratch / "other" / "notes.txt", std::string_view("mine"));
  CHECK_THROWS_AS(run_through(scratch / "other", false), ConfigError);
  CHECK_THROWS_AS(run_through(scratch / "other", true), ConfigError);
  CHECK_THROWS_AS(run_through(scratch / "other" / "notes.txt", true), ConfigError);
  CHECK(entries(scratch / "other") == std::set<std::string>{"notes.txt"});
  CHECK_THROWS_AS(run_through(scratch / "other" / "notes.txt" / "run", false), IoError);
  const RunFolder open(scratch / "run", true);
  CHECK_THROWS_AS(run_through(scratch / "run", true), ConfigError);
}

TEST_CASE("a run that was killed before its first files were whole begins when it is resumed") {
  const ScratchFolder scratch;
  run_through(scratch / "continuous", false);
  fs::create_directory(scratch / "empty");
  run_through(scratch / "empty", true);
  expect_equal_runs(scratch / "continuous", scratch / "empty");
  fs::create_directories(scratch / "killed" / "checkpoints");
  for (const char* name : {"experiment.json", "environment.json", "quantizers.json", ".resolved.json.tmp0"})
    write_atomic(scratch / "killed" / name, std::string_view("{"));
  CHECK_THROWS_AS(run_through(scratch / "killed", false), ConfigError);
  run_through(scratch / "killed", true);
  expect_equal_runs(scratch / "continuous", scratch / "killed");
}

TEST_CASE("a diverged run says so") {
  const ScratchFolder scratch;
  CHECK_THROWS_AS(run_through(scratch / "run", false, {"optimizer.lr=1e30", "train.clip_norm=null"}),
                  DivergedError);
  CHECK(status_of(scratch / "run") == "failed");
  CHECK(read_text(scratch / "run" / "train.log").find("diverged at step") != std::string::npos);
}

TEST_CASE("a full disk is an I/O error and leaves the checkpoints whole") {
  const ScratchFolder scratch;
  run_through(scratch / "continuous", false);
  run_until(scratch / "run", 7, false);
  rlimit before = {};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small = {30000, before.rlim_max};  // a checkpoint of 100 kB does not fit
  setrlimit(RLIMIT_FSIZE, &small);
  CHECK_THROWS_AS(run_through(scratch / "run", true), IoError);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, ignored);
  CHECK(status_of(scratch / "run") == "failed");
  CHECK(entries(scratch / "run" / "checkpoints").contains("step-00000007"));
  run_through(scratch / "run", true);
  expect_equal_runs(scratch / "continuous", scratch / "run");
}

TEST_CASE("weights from elsewhere survive an early end") {
  const ScratchFolder scratch;
  int calls = 0;
  RunRequest request;
  request.folder = scratch / "run";
  request.initialise = [&](Model& model) {
    ++calls;
    model.parameters()[0]->raw().mutable_data().mut<float>()[0] = 42;
  };
  StopAt stopper(1);
  request.observers = {&stopper};
  request.stop = &stopper.stop;
  CHECK_THROWS_AS(run_experiment(tiny({"optimizer.lr=0"}), request), InterruptedError);
  fs::remove_all(scratch / "run" / "checkpoints" / "step-00000001");
  request.resume = true;
  request.initialise = {};
  request.observers = {};
  request.stop = nullptr;
  run_experiment(tiny({"optimizer.lr=0"}), request);
  const auto newest = read_newest_checkpoint(scratch / "run" / "checkpoints");
  REQUIRE(newest.has_value());
  CHECK(newest->model[0].tensor.ptr<float>()[0] == 42);
  CHECK(calls == 1);
}

TEST_CASE("SIGTERM ends a run with its state saved; a second signal ends the process") {
  const ScratchFolder scratch;
  struct Raiser : TrainObserver {
    void on_step(const Progress& progress) override {
      if (progress.step == 3) std::raise(SIGTERM);
    }
  } raiser;
  {
    const SignalHandlers handlers;
    CHECK_THROWS_AS(SignalHandlers(), ConfigError);
    RunRequest request;
    request.folder = scratch / "run";
    request.observers = {&raiser};
    request.stop = &SignalHandlers::stop_requested();
    CHECK_THROWS_AS(run_experiment(tiny(), request), InterruptedError);
  }
  CHECK(status_of(scratch / "run") == "interrupted");
  CHECK(entries(scratch / "run" / "checkpoints").size() == 1);

  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const SignalHandlers handlers;
    std::raise(SIGINT);
    std::raise(SIGINT);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 130);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("slow train");

TEST_CASE("killed at random moments and resumed, a run ends with the same bits") {
  const ScratchFolder scratch;
  const std::vector<std::string> sets = {"train.epochs=12", "data.train=2000"};
  // A child process of this one; one thread, because threads do not survive a fork.
  const TrainProcessRunner runner = [&](const TrainProcess& process) {
    const pid_t child = fork();
    if (child == 0) {
      int code = 1;
      try {
        const SignalHandlers handlers;
        set_num_threads(1);
        RunRequest request;
        request.folder = process.folder;
        request.resume = process.resume;
        request.stop = &SignalHandlers::stop_requested();
        run_experiment(tiny(sets), request);
        code = 0;
      } catch (const InterruptedError&) {
        code = 75;
      } catch (const std::exception& error) {
        fprintf(stderr, "%s\n", error.what());
      }
      _exit(code);
    }
    int status = 0;
    bool sent = false;
    while (waitpid(child, &status, WNOHANG) == 0) {
      if (!sent && process.poll()) {
        sent = true;
        kill(child, process.how == Stop::Kill ? SIGKILL : SIGTERM);
      }
      usleep(2000);
    }
    if (WIFSIGNALED(status)) return false;
    REQUIRE((WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 75));
    return WEXITSTATUS(status) == 0;
  };
  const ProveResumeReport report =
      prove_resume(runner, {.folder = scratch.path(), .stops = 5, .seed = 3, .on_message = {}});
  CHECK(report.stops >= 3);  // at least half of them
  CHECK(report.tensors == 4 + 4 + 4);
  CHECK(report.events == 24);
  for (const std::string& difference : report.differences) FAIL_CHECK(difference);
}

TEST_SUITE_END();

}  // namespace lathe
