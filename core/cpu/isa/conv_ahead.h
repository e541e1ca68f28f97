#pragma once
// Spreads the prefetches of several ConvAhead over the calls of a micro-kernel.

#include "core/cpu/conv_tile.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {

class Ahead {
 public:
  /// `calls` calls of advance() cover the whole. The ranges stay where they are meanwhile.
  Ahead(const ConvAhead* ahead, int count, int64_t calls) : next_(ahead), last_(ahead + count) {
    int64_t lines = 0;
    for (int i = 0; i < count; ++i) lines += lines_of(ahead[i]);
    step_ = calls > 0 ? (lines + calls - 1) / calls : 0;
    left_ = lines;
    enter();
  }

  Ahead(const ConvAhead (&ahead)[kConvAheads], int64_t calls) : Ahead(ahead, kConvAheads, calls) {}
  Ahead(const ConvAhead& ahead, int64_t calls) : Ahead(&ahead, 1, calls) {}

  [[gnu::always_inline]] void advance() {
    if (left_ == 0) return;
    int64_t lines = step_ < left_ ? step_ : left_;
    left_ -= lines;
    while (lines > 0) {
      const int64_t here = lines < in_range_ ? lines : in_range_;
      for (int64_t i = 0; i < here; ++i, at_ += kLine) __builtin_prefetch(at_, 0, 2);
      lines -= here;
      in_range_ -= here;
      if (in_range_ == 0 && lines > 0) enter();
    }
  }

 private:
  static constexpr int64_t kLine = 64;

  static int64_t lines_of(const ConvAhead& range) { return (range.bytes + kLine - 1) / kLine; }
  /// The next range that is not empty.
  [[gnu::always_inline]] void enter() {
    while (next_ != last_ && next_->bytes <= 0) ++next_;
    if (next_ == last_) return;
    at_ = static_cast<const char*>(next_->from);
    in_range_ = lines_of(*next_++);
  }

  const ConvAhead *next_, *last_;
  const char* at_ = nullptr;
  int64_t in_range_ = 0, left_ = 0, step_ = 0;  // lines
};

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
