#include "tools/progress.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/output.h"
#include "tools/progress_line.h"
#include "train/trainer.h"

namespace lathe::cli {
namespace {

constexpr double kTerminalInterval = 0.1, kLogInterval = 30;  // seconds, product convention

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Of the terminal on stderr: as it says, as the environment says, as most are.
size_t terminal_columns() {
  constexpr size_t kUsual = 80;
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* given = std::getenv("COLUMNS");
  const long columns = given == nullptr ? 0 : std::strtol(given, nullptr, 10);
  return columns > 0 ? static_cast<size_t>(columns) : kUsual;
}

ProgressLine describe(const Progress& p, std::string_view unit) {
  const int64_t epoch = p.epoch_ended ? p.epoch : p.epoch + 1;
  return {.head = fmt::format("epoch {}/{}", epoch, p.epochs),
          .done = p.step_in_epoch,
          .total = p.steps_per_epoch,
          .fields = {fmt::format("{}/{}", p.step_in_epoch, p.steps_per_epoch),
                     fmt::format("{:.0f} {}", p.samples_per_second, unit),
                     fmt::format("ETA {}", human_time(p.eta_seconds)),
                     fmt::format("loss {:.3f}", p.epoch_loss), fmt::format("lr {:.3g}", p.learning_rate)}};
}

}  // namespace

std::string_view rate_unit(std::string_view metric) {
  return is_fraction(metric) ? "img/s" : "samples/s";
}

TerminalProgress::TerminalProgress()
    : terminal_(isatty(STDERR_FILENO) == 1),
      colour_(terminal_ && std::getenv("NO_COLOR") == nullptr),
      last_(terminal_ ? 0 : now()) {}

TerminalProgress::~TerminalProgress() {
  if (drawn_) fmt::print(stderr, "\n");
}

void TerminalProgress::on_step(const Progress& progress) {
  const double time = now();
  if (time - last_ < (terminal_ ? kTerminalInterval : kLogInterval)) return;
  last_ = time;
  draw(progress);
}

void TerminalProgress::on_evaluation(const Progress& progress, const EvaluationResult& result) {
  std::string line = fmt::format("epoch {}/{}", progress.epoch, progress.epochs);
  line += fmt::format("  train loss {:.4f}", progress.epoch_loss);
  for (const Metric& metric : result.metrics) {
    const bool fraction = is_fraction(metric.name);
    if (fraction) unit_ = rate_unit(metric.name);
    line += fraction ? fmt::format("  {} {:.2f} %", metric.name, 100 * metric.value)
                     : fmt::format("  {} {:.4f}", metric.name, metric.value);
  }
  compression_.clear();
  if (result.quantized) {
    compression_.push_back(fmt::format("bits {:.2f}", result.quantized->avg_bits));
    if (result.size_bytes > 0)
      compression_.push_back("size " + human_bytes(static_cast<double>(result.size_bytes)));
    compression_.push_back(fmt::format("zeros {:.0f} %", 100 * result.quantized->sparsity));
    if (result.quantized->oscillating)
      compression_.push_back(fmt::format("oscillating {:.1f} %", 100 * *result.quantized->oscillating));
  }
  for (const std::string& field : compression_) line += "  " + field;
  print(line + fmt::format("  {:.0f} {}", progress.samples_per_second, unit_));
  for (const std::string& warning : result.warnings) {
    if (warned_of_.insert(warning.substr(0, warning.find(": "))).second) print("warning: " + warning);
  }
}

void TerminalProgress::on_settled(const Progress&, const Trainer& trainer) {
  unit_ = rate_unit(trainer.task().metric());
}

void TerminalProgress::on_message(std::string_view message) {
  print(std::string(message));
}

void TerminalProgress::draw(const Progress& progress) {
  ProgressLine line = describe(progress, unit_);
  line.fields.insert(line.fields.end(), compression_.begin(), compression_.end());
  if (!terminal_) {
    fmt::print(stderr, "{}\n", fit(line, std::numeric_limits<size_t>::max()));
    return;
  }
  // The last column stays free: some terminals wrap once it is written.
  fmt::print(stderr, "\r\x1b[K{}{}{}", colour_ ? "\x1b[36m" : "", fit(line, terminal_columns() - 1),
             colour_ ? "\x1b[0m" : "");
  std::fflush(stderr);
  drawn_ = true;
}

void TerminalProgress::print(const std::string& line) {
  fmt::print(stderr, "{}{}\n", drawn_ ? "\r\x1b[K" : "", line);
  drawn_ = false;
}

}  // namespace lathe::cli
