#include "tools/progress.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>
#include <unistd.h>

#include "tools/output.h"

namespace lathe::cli {
namespace {

constexpr double kTerminalInterval = 0.1, kLogInterval = 30;  // seconds, product convention

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string bar(int64_t done, int64_t total) {
  constexpr int kCells = 12;
  const int filled = total > 0 ? static_cast<int>(done * kCells / total) : 0;
  std::string text;
  for (int i = 0; i < kCells; ++i) text += i < filled ? "━" : i == filled ? "╸" : " ";
  return text;
}

std::string describe(const Progress& p) {
  const int64_t epoch = p.epoch_ended ? p.epoch : p.epoch + 1;
  return fmt::format("epoch {}/{} {} {}/{}  {:.0f} img/s  ETA {}  loss {:.3f}  lr {:.3g}", epoch, p.epochs,
                     bar(p.step_in_epoch, p.steps_per_epoch), p.step_in_epoch, p.steps_per_epoch,
                     p.samples_per_second, human_time(p.eta_seconds), p.epoch_loss, p.learning_rate);
}

bool is_fraction(std::string_view metric) {
  return metric.starts_with("top");
}

}  // namespace

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
  draw(describe(progress) + compression_);
}

void TerminalProgress::on_evaluation(const Progress& progress, const EvaluationResult& result) {
  std::string line = fmt::format("epoch {}/{}", progress.epoch, progress.epochs);
  line += fmt::format("  train loss {:.4f}", progress.epoch_loss);
  for (const Metric& metric : result.metrics) {
    line += is_fraction(metric.name) ? fmt::format("  {} {:.2f} %", metric.name, 100 * metric.value)
                                     : fmt::format("  {} {:.4f}", metric.name, metric.value);
  }
  compression_.clear();
  if (result.quantized) {
    compression_ = fmt::format("  bits {:.2f}", result.quantized->avg_bits);
    if (result.size_bytes > 0)
      compression_ += "  size " + human_bytes(static_cast<double>(result.size_bytes));
    compression_ += fmt::format("  zeros {:.0f} %", 100 * result.quantized->sparsity);
    if (result.quantized->oscillating)
      compression_ += fmt::format("  oscillating {:.1f} %", 100 * *result.quantized->oscillating);
  }
  print(line + compression_ + fmt::format("  {:.0f} img/s", progress.samples_per_second));
  for (const std::string& warning : result.warnings) {
    if (warned_of_.insert(warning.substr(0, warning.find(": "))).second) print("warning: " + warning);
  }
}

void TerminalProgress::on_message(std::string_view message) {
  print(std::string(message));
}

void TerminalProgress::draw(const std::string& line) {
  if (!terminal_) {
    fmt::print(stderr, "{}\n", line);
    return;
  }
  fmt::print(stderr, "\r\x1b[K{}{}{}", colour_ ? "\x1b[36m" : "", line, colour_ ? "\x1b[0m" : "");
  std::fflush(stderr);
  drawn_ = true;
}

void TerminalProgress::print(const std::string& line) {
  fmt::print(stderr, "{}{}\n", drawn_ ? "\r\x1b[K" : "", line);
  drawn_ = false;
}

}  // namespace lathe::cli
