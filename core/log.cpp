#include "core/log.h"

#include <mutex>
#include <utility>

namespace lathe {
namespace {

struct Log {
  std::mutex mutex;
  LogSink sink;
};

Log& log_state() {
  static auto* state = new Log;  // never destroyed: messages may come from other objects' destructors
  return *state;
}

}  // namespace

LogSink set_log_sink(LogSink sink) {
  const std::lock_guard lock(log_state().mutex);
  return std::exchange(log_state().sink, std::move(sink));
}

void log_message(LogLevel level, std::string_view message) {
  const std::lock_guard lock(log_state().mutex);
  if (log_state().sink) log_state().sink(level, message);
}

}  // namespace lathe
