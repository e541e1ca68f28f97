#pragma once
// One replaceable sink for the library's messages. The library itself never writes to a stream.

#include <functional>
#include <string_view>

#include "core/error.h"

namespace lathe {

enum class LogLevel : uint8_t { Info, Warning };
using LogSink = std::function<void(LogLevel, std::string_view message)>;

/// Replaces the sink (at first messages are dropped) and returns the previous one. Call before threads start.
LogSink set_log_sink(LogSink sink);

void log_message(LogLevel level, std::string_view message);

template <class... Parts>
void log_info(const Parts&... parts) {
  log_message(LogLevel::Info, concat(parts...));
}
template <class... Parts>
void log_warning(const Parts&... parts) {
  log_message(LogLevel::Warning, concat(parts...));
}

}  // namespace lathe
