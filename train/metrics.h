#pragma once
// metrics.jsonl: one event a line.

#include <filesystem>

#include "core/value.h"

namespace lathe {

/// Appends events to a file. Every event has an integer "step". Each line reaches the file at once, so that a
/// killed run loses none; IoError when it cannot be written.
class MetricsLog {
 public:
  /// Keeps the file's events up to `last_step` and drops what follows, a line cut short included: what a run
  /// resumed there will write again.
  MetricsLog(std::filesystem::path path, int64_t last_step);
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;
  ~MetricsLog();

  void append(const Value& event);
  /// Flushes to disk, before a checkpoint that relies on the events so far.
  void sync();

 private:
  std::filesystem::path path_;
  int file_ = -1;
};

}  // namespace lathe
