#pragma once
// A sound file as a model of another rate or number of channels wants it, read in parts.

#include <filesystem>
#include <vector>

#include "core/tensor.h"
#include "data/sound_file.h"

namespace lathe {

/// Samples of a file at `rate` with `channels`: converted by windowed-sinc interpolation
/// (autograd/ops/resample.h), silence before the first sample and behind the last. One channel is repeated,
/// several are averaged to one; DataError, naming the file, for any other change of channels.
class SoundStream {
 public:
  SoundStream(const std::filesystem::path& path, int64_t rate, int64_t channels);

  int64_t length() const { return length_; }  ///< samples at `rate`
  /// Samples [from, from + samples.dim(0)) to `samples` (count, channels) f32; any place is allowed.
  void read(int64_t from, Tensor& samples);

 private:
  void read_own(int64_t from, Tensor& samples);

  SoundReader reader_;
  int64_t channels_, length_;
  int64_t from_ = 1, to_ = 1;  // rates in lowest terms
  Tensor filters_;             // undefined where the rate is the file's
};

}  // namespace lathe
