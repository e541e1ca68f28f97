#pragma once
// Random words one after another, for draws that need more of them than kernels know of (Draws).

#include <cmath>

#include "core/error.h"
#include "core/kernels/images_math.h"

namespace lathe {

/// kCount words of a stream from word kCount * number on; a pure function of the stream and `number`.
class WordSequence {
 public:
  static constexpr uint64_t kCount = 256;

  WordSequence(const Philox& philox, int64_t number)
      : philox_(philox), next_(kCount * static_cast<uint64_t>(number)), end_(next_ + kCount) {}
  /// Of one augmentation of one sample: from "augment words" at the sample's epoch.
  explicit WordSequence(const Draws& draws)
      : WordSequence({draws.philox().seed, stream_id("augment words"), draws.philox().step}, draws.number()) {
  }

  /// In (0, 1).
  double uniform() {
    LATHE_ASSERT(next_ < end_);
    return (static_cast<double>(philox_.word(next_++)) + 0.5) * 0x1p-32;
  }
  double uniform(double lo, double hi) { return lo + (hi - lo) * uniform(); }
  bool chance(double p) { return uniform() < p; }
  /// In [0, n), n > 0.
  int64_t below(int64_t n) {
    LATHE_ASSERT(next_ < end_);
    return philox_.below(next_++, static_cast<uint32_t>(n));
  }
  double normal() {  // Box and Muller
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(2 * 3.14159265358979323846 * uniform());
  }

 private:
  Philox philox_;
  uint64_t next_, end_;
};

}  // namespace lathe
