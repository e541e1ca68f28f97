#include "train/sound_stream.h"

#include <algorithm>
#include <numeric>

#include "autograd/ops/resample.h"
#include "core/error.h"

namespace lathe {
namespace {

/// Largest q with q d <= n.
int64_t floor_div(int64_t n, int64_t d) {
  return n >= 0 ? n / d : -((-n + d - 1) / d);
}

}  // namespace

SoundStream::SoundStream(const std::filesystem::path& path, int64_t rate, int64_t channels)
    : reader_(path), channels_(channels), length_(reader_.format().samples) {
  const SoundFormat& format = reader_.format();
  LATHE_CHECK(DataError, format.channels == channels || format.channels == 1 || channels == 1, path.string(),
              ": ", format.channels, " channels, the model takes ", channels);
  if (format.rate == rate) return;
  const int64_t common = std::gcd(format.rate, rate);
  from_ = format.rate / common;
  to_ = rate / common;
  constexpr int64_t kMostPhases = 2000;
  LATHE_CHECK(DataError, to_ <= kMostPhases && from_ <= kMostPhases, path.string(), ": the sample rate is ",
              format.rate, " Hz, the model's ", rate, ": their ratio ", to_, "/", from_, " is too odd");
  filters_ = resample_filters(from_, to_);
  length_ = format.samples * to_ / from_;
}

/// At the file's own rate.
void SoundStream::read_own(int64_t from, Tensor& samples) {
  const SoundFormat& format = reader_.format();
  const int64_t count = samples.dim(0), own = format.channels;
  const int64_t lo = std::clamp<int64_t>(-from, 0, count);
  const int64_t hi = std::clamp<int64_t>(format.samples - from, lo, count);
  std::vector<float> raw(static_cast<size_t>((hi - lo) * own));
  if (hi > lo) reader_.read(from + lo, hi - lo, raw.data());
  float* to = samples.mut<float>();
  std::fill(to, to + samples.numel(), 0.0f);
  for (int64_t t = lo; t < hi; ++t) {
    const float* in = raw.data() + (t - lo) * own;
    if (channels_ == 1) {
      to[t] = std::accumulate(in, in + own, 0.0f) / static_cast<float>(own);
    } else {
      for (int64_t c = 0; c < channels_; ++c) to[t * channels_ + c] = own == 1 ? in[0] : in[c];
    }
  }
}

void SoundStream::read(int64_t from, Tensor& samples) {
  if (!filters_.defined()) return read_own(from, samples);
  // Whole periods of the conversion that cover the part, and what the filters reach beyond them.
  const int64_t count = samples.dim(0), width = (filters_.dim(1) - from_) / 2;
  const int64_t first = floor_div(from, to_), last = floor_div(from + count - 1, to_) + 1;
  const int64_t periods = last - first;
  Tensor own = Tensor::empty({periods * from_ + 2 * width + from_, channels_});
  read_own(first * from_ - width, own);
  const NoGrad no_grad;
  const Tensor converted = resample_valid(Var(own.view({1, own.dim(0), channels_})), filters_, from_).data();
  const int64_t skip = from - first * to_;
  std::copy_n(converted.ptr<float>() + skip * channels_, count * channels_, samples.mut<float>());
}

}  // namespace lathe
