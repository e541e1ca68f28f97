#pragma once
// Spreads the prefetches of a ConvAhead over the calls of a micro-kernel.

#include "core/cpu/conv_tile.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {

class Ahead {
 public:
  /// `calls` calls of advance() cover the whole.
  Ahead(const ConvAhead& ahead, int64_t calls)
      : at_(static_cast<const char*>(ahead.from)), end_(at_ + ahead.bytes) {
    const int64_t lines = (ahead.bytes + kLine - 1) / kLine;
    step_ = calls > 0 ? (lines + calls - 1) / calls * kLine : 0;
  }

  void advance() {
    const char* stop = end_ - at_ > step_ ? at_ + step_ : end_;
    for (; at_ < stop; at_ += kLine) __builtin_prefetch(at_, 0, 2);
    if (at_ > end_) at_ = end_;
  }

 private:
  static constexpr int64_t kLine = 64;

  const char* at_;
  const char* end_;
  int64_t step_ = 0;
};

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
