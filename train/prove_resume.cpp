#include "train/prove_resume.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <system_error>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "core/philox.h"
#include "train/checkpoint.h"
#include "train/run_folder.h"

namespace lathe {
namespace fs = std::filesystem;
namespace {

constexpr const char* kTimes[] = {"time", "seconds", "train_seconds", "samples_per_second"};

Value without_times(const Value& value) {
  Value out = Value::object();
  for (const auto& [key, member] : value.members()) {
    if (std::find(std::begin(kTimes), std::end(kTimes), key) == std::end(kTimes)) out.set(key, member);
  }
  return out;
}

std::vector<Value> events_of(const fs::path& run) {
  const fs::path path = RunPaths{run}.metrics();
  const std::string text = read_text(path);
  std::vector<Value> events;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    events.push_back(without_times(parse_json(text.substr(begin, end - begin), path.string())));
    begin = end + 1;
  }
  return events;
}

void compare_tensors(const char* part, const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b,
                     ProveResumeReport& report) {
  if (a.size() != b.size()) {
    report.differences.push_back(concat(part, ": ", a.size(), " and ", b.size(), " tensors"));
    return;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    ++report.tensors;
    report.bytes += static_cast<int64_t>(a[i].tensor.bytes());
    if (a[i].name == b[i].name && same_bits(a[i].tensor, b[i].tensor)) continue;
    report.differences.push_back(concat(part, ": ", a[i].name, " differs"));
  }
}

Checkpoint final_state(const fs::path& run) {
  std::optional<Checkpoint> checkpoint = read_newest_checkpoint(RunPaths{run}.checkpoints());
  LATHE_CHECK(FormatError, checkpoint.has_value(), run.string(), ": the run left no checkpoint");
  return std::move(*checkpoint);
}

/// state.json without times.
Value state_of(const Checkpoint& checkpoint) {
  CheckpointState state = checkpoint.state;
  state.progress = without_times(state.progress);
  return write_fields(state);
}

void tell(const ProveResumeOptions& options, const std::string& message) {
  if (options.on_message) options.on_message(message);
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// A run that is stopped at moments spread over `duration` and resumed until it ends; returns how many stops
/// met it.
int64_t run_interrupted(const TrainProcessRunner& runner, const ProveResumeOptions& options,
                        const fs::path& folder, double duration) {
  const Philox moments{options.seed, stream_id("prove-resume"), 0};
  const double part = duration / static_cast<double>(options.stops);
  for (int64_t stop = 0; stop < options.stops; ++stop) {
    const double wait = 2 * part * moments.uniform(static_cast<uint64_t>(stop));
    const Stop how = stop % 2 == 0 ? Stop::Kill : Stop::Terminate;
    tell(options, concat("stop ", stop + 1, " of ", options.stops, ": ",
                         how == Stop::Kill ? "SIGKILL" : "SIGTERM", " after ", wait, " s"));
    const double start = seconds_now();
    const auto due = [start, wait] { return seconds_now() - start >= wait; };
    if (runner({folder, fs::exists(folder), how, due})) return stop;
  }
  tell(options, "last part");
  LATHE_CHECK(MismatchError, runner({folder, fs::exists(folder), Stop::Kill, [] { return false; }}),
              folder.string(), ": the process stopped by itself");
  return options.stops;
}

}  // namespace

void compare_runs(const fs::path& a, const fs::path& b, ProveResumeReport& report) {
  const Checkpoint left = final_state(a), right = final_state(b);
  compare_tensors("model", left.model, right.model, report);
  compare_tensors("optimizer", left.optimizer, right.optimizer, report);
  compare_tensors("averages", left.ema, right.ema, report);
  compare_tensors("evaluated", left.evaluated, right.evaluated, report);
  const Value left_state = state_of(left), right_state = state_of(right);
  if (!(left_state == right_state)) {
    report.differences.push_back(concat("state.json: ", to_json(left_state), " and ", to_json(right_state)));
  }
  const std::vector<Value> events = events_of(a), others = events_of(b);
  report.events += static_cast<int64_t>(events.size());
  if (!(events == others)) report.differences.push_back("metrics.jsonl differs");
}

ProveResumeReport prove_resume(const TrainProcessRunner& runner, const ProveResumeOptions& options) {
  LATHE_CHECK(ConfigError, options.stops > 0, "prove-resume: expected at least one stop");
  const fs::path continuous = options.folder / "continuous", interrupted = options.folder / "interrupted";
  std::error_code error;
  fs::create_directories(options.folder, error);
  LATHE_CHECK(IoError, !error, options.folder.string(), ": ", error.message());
  LATHE_CHECK(ConfigError, !fs::exists(continuous) && !fs::exists(interrupted), options.folder.string(),
              ": runs of an earlier proof are there; choose another folder");
  tell(options, "continuous run");
  const double begin = seconds_now();
  LATHE_CHECK(MismatchError, runner({continuous, false, Stop::Kill, [] { return false; }}),
              continuous.string(), ": the process stopped by itself");
  double duration = seconds_now() - begin;

  // A run that was faster than the first one may end before most of its stops: too little to prove anything.
  constexpr int kAttempts = 6;
  ProveResumeReport report;
  for (int attempt = 0; attempt < kAttempts && 2 * report.stops < options.stops; ++attempt) {
    if (attempt > 0) tell(options, concat("only ", report.stops, " stops met the run: again, sooner"));
    fs::remove_all(interrupted);
    report.stops = run_interrupted(runner, options, interrupted, duration);
    duration /= 2;
  }
  LATHE_CHECK(ConfigError, report.stops > 0, "prove-resume: the run is too short to be interrupted");
  compare_runs(continuous, interrupted, report);
  return report;
}

}  // namespace lathe
