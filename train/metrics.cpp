#include "train/metrics.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"

namespace lathe {
namespace {

/// Step of a line, or -1 when the line is no whole event.
int64_t step_of(std::string_view line) {
  try {
    const Value event = parse_json(line, "metrics.jsonl");
    const Value* step = event.find("step");
    return step == nullptr ? -1 : step->as_int();
  } catch (const ConfigError&) {
    return -1;
  }
}

std::string events_until(std::string_view text, int64_t last_step) {
  std::string kept;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) break;
    const std::string_view line = text.substr(begin, end - begin);
    const int64_t step = step_of(line);
    if (step >= 0 && step <= last_step) kept.append(line).push_back('\n');
    begin = end + 1;
  }
  return kept;
}

}  // namespace

MetricsLog::MetricsLog(std::filesystem::path path, int64_t last_step) : path_(std::move(path)) {
  if (std::filesystem::exists(path_)) write_atomic(path_, events_until(read_text(path_), last_step));
  file_ = open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  LATHE_CHECK(IoError, file_ >= 0, path_.string(), ": ", std::strerror(errno));
}

MetricsLog::~MetricsLog() {
  close(file_);
}

void MetricsLog::append(const Value& event) {
  const std::string line = to_json(event) + "\n";
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = write(file_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    LATHE_CHECK(IoError, written > 0, path_.string(), ": ", std::strerror(errno));
    rest.remove_prefix(static_cast<size_t>(written));
  }
}

void MetricsLog::sync() {
  LATHE_CHECK(IoError, fsync(file_) == 0, path_.string(), ": ", std::strerror(errno));
}

}  // namespace lathe
