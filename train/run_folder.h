#pragma once
// A run's folder: its files' names, who may write there, and its state in a word.

#include <filesystem>
#include <string>
#include <string_view>

#include "core/value.h"

namespace lathe {

/// Paths inside a run's folder.
struct RunPaths {
  std::filesystem::path folder;

  std::filesystem::path experiment() const { return folder / "experiment.json"; }    ///< as given
  std::filesystem::path resolved() const { return folder / "resolved.json"; }        ///< with all defaults
  std::filesystem::path environment() const { return folder / "environment.json"; }  ///< on what it ran
  std::filesystem::path quantizers() const { return folder / "quantizers.json"; }    ///< the attach table
  std::filesystem::path metrics() const { return folder / "metrics.jsonl"; }
  std::filesystem::path summary() const { return folder / "summary.json"; }
  std::filesystem::path status() const { return folder / "status.json"; }
  std::filesystem::path log() const { return folder / "train.log"; }
  std::filesystem::path packed() const { return folder / "model.lathe"; }  ///< as it was evaluated
  std::filesystem::path checkpoints() const { return folder / "checkpoints"; }

  /// A run was begun here: resolved.json, the last of its first files, is there.
  bool has_run() const;
};

/// A JSON file of a run, which is an object. FormatError when it holds something else.
Value read_run_file(const std::filesystem::path& path);

/// A folder opened for training, by one process at a time.
class RunFolder {
 public:
  /// Makes the folder when needed. ConfigError when `resume` is false and the folder is not empty; when it is
  /// true and there is no folder, or no run but files that a run killed in its first moment does not leave;
  /// when another process trains there. IoError when it cannot be made.
  RunFolder(const std::filesystem::path& folder, bool resume);
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;
  /// A folder that it made and in which nothing was written goes again.
  ~RunFolder();

  const RunPaths& paths() const { return paths_; }
  /// No run was begun here before.
  bool fresh() const { return fresh_; }

  /// Writes status.json: "running", "done", "interrupted" or "failed", with the step and, when failed, why.
  void set_status(std::string_view status, int64_t step, std::string_view message = {}) const;
  /// Adds a line with the time of day to train.log.
  void log(std::string_view message) const;

 private:
  RunPaths paths_;
  bool fresh_ = true;
  bool made_ = false;
  int lock_ = -1;
};

/// "runs/NAME"
std::filesystem::path default_run_folder(const std::string& name);

/// Seconds since 1970, and "2026-03-01T12:00:00Z".
double unix_time();
std::string utc_time();

}  // namespace lathe
