#pragma once
// Shows that interruptions leave no trace in a run.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace lathe {

/// How a training process is stopped.
enum class Stop : uint8_t {
  Kill,       ///< SIGKILL: nothing is saved, the run goes on from its newest checkpoint
  Terminate,  ///< SIGTERM: a checkpoint is saved after the step
};

/// One training process: `lathe train EXPERIMENT --out FOLDER [--resume]`. Starts it, asks `poll` every few
/// milliseconds and, when it says so, stops the process as `how` says. Returns true when the process trained
/// to the end before that, false when it was stopped. Throws when it failed.
struct TrainProcess {
  std::filesystem::path folder;
  bool resume = false;
  Stop how = Stop::Kill;
  std::function<bool()> poll;
};
using TrainProcessRunner = std::function<bool(const TrainProcess& process)>;

struct ProveResumeOptions {
  std::filesystem::path folder;  ///< made when needed; takes the runs "continuous" and "interrupted"
  int64_t stops = 5;             ///< SIGKILL and SIGTERM in turn
  uint64_t seed = 1;             ///< of the moments, spread evenly over the continuous run's duration
  /// Told what happens ("stop 2 of 5: SIGTERM after 3.1 s").
  std::function<void(const std::string&)> on_message;
};

struct ProveResumeReport {
  int64_t stops = 0;    ///< that met a running process
  int64_t tensors = 0;  ///< compared: model, optimizer, averages
  int64_t bytes = 0;
  int64_t events = 0;                    ///< compared lines of metrics.jsonl, times aside
  std::vector<std::string> differences;  ///< empty when the proof holds
};

/// Runs an experiment uninterrupted, runs it again with interruptions, and compares the final states bit for
/// bit. When fewer than half of the stops met the second run, it is made again with earlier stops;
/// ConfigError when none ever did.
ProveResumeReport prove_resume(const TrainProcessRunner& runner, const ProveResumeOptions& options);

/// What differs between the newest checkpoints and the events of two runs; adds to the report's counts.
void compare_runs(const std::filesystem::path& a, const std::filesystem::path& b, ProveResumeReport& report);

}  // namespace lathe
