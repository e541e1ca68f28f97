#include "data/sound_set.h"

#include <algorithm>
#include <cmath>

namespace lathe {

void SoundStatistics::add(const float* samples, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    double mono = 0;
    for (int64_t c = 0; c < channels_; ++c) mono += samples[i * channels_ + c];
    mono /= static_cast<double>(channels_);
    sum_ += mono;
    squares_ += mono * mono;
  }
  count_ += count;
}

double SoundStatistics::mean() const {
  return count_ == 0 ? 0 : sum_ / static_cast<double>(count_);
}

double SoundStatistics::std() const {
  if (count_ < 2) return 1;
  const double n = static_cast<double>(count_), average = mean();
  const double variance = std::max(0.0, (squares_ - n * average * average) / (n - 1));
  constexpr double kSilence = 1e-16;
  return variance > kSilence ? std::sqrt(variance) : 1;
}

}  // namespace lathe
