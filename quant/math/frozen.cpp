#include "quant/math/frozen.h"

namespace lathe::quant {
namespace {
thread_local Decisions* current = nullptr;
}

Decisions::Decisions() : previous_(current) {
  current = this;
}

Decisions::~Decisions() {
  current = previous_;
}

void Decisions::rewind() {
  next_ = 0;
  recording_ = false;
}

double Decisions::next(double now) {
  LATHE_ASSERT(current != nullptr);
  Decisions& log = *current;
  if (log.recording_) {
    log.values_.push_back(now);
    return now;
  }
  LATHE_ASSERT(log.next_ < log.values_.size());
  return log.values_[log.next_++];
}

}  // namespace lathe::quant
