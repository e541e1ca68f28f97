#pragma once
// Ctrl-C and SIGTERM as a flag that training looks at between steps.

#include <atomic>

namespace lathe {

/// While alive, SIGINT and SIGTERM set stop_requested(), and a second one ends the process at once with exit
/// code 130. Installed by an executable, never by the library itself. One at a time (ConfigError otherwise);
/// the previous handlers come back when it goes.
class SignalHandlers {
 public:
  SignalHandlers();
  SignalHandlers(const SignalHandlers&) = delete;
  SignalHandlers& operator=(const SignalHandlers&) = delete;
  ~SignalHandlers();

  /// Set by a signal; hand it to the trainer. Tests may set it themselves.
  static std::atomic<bool>& stop_requested();
};

}  // namespace lathe
