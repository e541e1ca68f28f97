#include "train/signals.h"

#include <csignal>

#include <unistd.h>

#include "core/error.h"

namespace lathe {
namespace {

constexpr int kSecondCtrlC = 130;  // 128 + SIGINT, as shells have it

std::atomic<bool> stop{false};
std::atomic<bool> installed{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may touch it");
struct sigaction previous_interrupt, previous_terminate;

extern "C" void on_signal(int) {
  if (stop.exchange(true)) _exit(kSecondCtrlC);
}

}  // namespace

SignalHandlers::SignalHandlers() {
  LATHE_CHECK(ConfigError, !installed.exchange(true), "signal handlers are installed already");
  stop = false;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, &previous_interrupt);
  sigaction(SIGTERM, &action, &previous_terminate);
}

SignalHandlers::~SignalHandlers() {
  sigaction(SIGINT, &previous_interrupt, nullptr);
  sigaction(SIGTERM, &previous_terminate, nullptr);
  installed = false;
}

std::atomic<bool>& SignalHandlers::stop_requested() {
  return stop;
}

}  // namespace lathe
