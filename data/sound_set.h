#pragma once
// Tracks of music: a mixture and its sources, all of one length, rate and number of channels.

#include <cstdint>
#include <string>
#include <vector>

namespace lathe {

struct SoundTrack {
  std::string name;
  int64_t samples = 0;
  /// Of the mean of the mixture's channels over the whole track; the deviation is the unbiased one.
  double mean = 0, std = 1;
};

/// Threads: concurrent const use is safe.
class SoundSet {
 public:
  virtual ~SoundSet() = default;
  /// Samples [from, from + count) of the mixture, all inside the track, to (count, channels).
  virtual void read_mixture(size_t track, int64_t from, int64_t count, float* to) const = 0;
  /// The same of source number `source`.
  virtual void read_source(size_t track, size_t source, int64_t from, int64_t count, float* to) const = 0;

  std::string type, split;
  std::vector<SoundTrack> tracks;
  std::vector<std::string> sources;  ///< "drums", ...
  int64_t rate = 0, channels = 0;
  std::string content_hash;
};

/// Adds up mean and deviation of a mixture's mean over its channels, in the order of samples.
class SoundStatistics {
 public:
  explicit SoundStatistics(int64_t channels) : channels_(channels) {}
  void add(const float* samples, int64_t count);
  double mean() const;
  double std() const;  ///< unbiased; 1 for silence, which nothing can scale

 private:
  int64_t channels_, count_ = 0;
  double sum_ = 0, squares_ = 0;
};

}  // namespace lathe
