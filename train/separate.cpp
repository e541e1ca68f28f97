#include "train/separate.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/shape.h"
#include "core/philox.h"

namespace lathe {
namespace {

/// Samples [from, from + length) of a mixture, which knows what surrounds them.
struct Chunk {
  const MixtureReader& mixture;
  int64_t from = 0, length = 0;

  /// `count` samples about this chunk's middle.
  Tensor around(const SeparationModel& model, int64_t count) const {
    Tensor samples = Tensor::empty({count, model.channels()}, model.root_options().dtype);
    mixture.read(from - (count - length) / 2, samples);
    return samples;
  }
};

/// (length, sources, channels) of the chunk in one forward.
Tensor forward(SeparationModel& model, const Chunk& chunk) {
  const NoGrad no_grad;
  const int64_t valid = model.valid_length(chunk.length);
  const Tensor samples = chunk.around(model, valid).view({1, valid, model.channels()});
  const Batch batch{.inputs = {samples.to(model.device())}, .size = 1};
  const Tensor y = center_trim(model.forward(batch), 1, chunk.length).data().to(Device::cpu());
  return y.view({chunk.length, model.sources(), model.channels()}).to(model.root_options().dtype);
}

/// sum[i] += x[i] of one type.
template <class T>
void add_to(T* sum, const T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) sum[i] += x[i];
}

/// The mean over shifts: each time the sound begins at another place of what the model sees.
Tensor shifted_forward(SeparationModel& model, const Chunk& chunk, const SeparateOptions& options) {
  const int64_t most = options.max_shift, padded = chunk.length + 2 * most;
  const Tensor sound = chunk.around(model, padded);
  const MixtureReader reader = read_from(sound);
  const Philox philox{.seed = 0, .stream = stream_id("shifts"), .step = 0};
  Tensor sum;
  for (int64_t i = 0; i < options.shifts; ++i) {
    const auto place = static_cast<uint64_t>(chunk.from * options.shifts + i);
    const int64_t offset =
        options.next_shift ? options.next_shift() : philox.below(place, static_cast<uint32_t>(most + 1));
    LATHE_CHECK(ConfigError, 0 <= offset && offset <= most, "separate: a shift of ", offset,
                " samples, expected 0 to ", most);
    Tensor y = forward(model, {reader, offset, chunk.length + most - offset});
    const Tensor inside = y.rows(most - offset, y.dim(0));
    if (!sum.defined()) sum = Tensor::zeros(inside.shape(), inside.dtype());
    dispatch_floating(sum.dtype(), "separate",
                      [&]<class T>() { add_to(sum.mut<T>(), inside.ptr<T>(), inside.numel()); });
  }
  dispatch_floating(sum.dtype(), "separate", [&]<class T>() {
    for (T *x = sum.mut<T>(), *end = x + sum.numel(); x != end; ++x) *x /= static_cast<T>(options.shifts);
  });
  return sum;
}

Tensor estimate(SeparationModel& model, const Chunk& chunk, const SeparateOptions& options) {
  return options.shifts > 0 ? shifted_forward(model, chunk, options) : forward(model, chunk);
}

/// [1 ... n / 2, n - n / 2 ... 1] / max to the given power.
std::vector<double> triangle(int64_t n, double power) {
  std::vector<double> weights(static_cast<size_t>(n));
  const auto top = static_cast<double>(n - n / 2);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t height = i < n / 2 ? i + 1 : n - i;
    weights[static_cast<size_t>(i)] = std::pow(static_cast<double>(height) / top, power);
  }
  return weights;
}

/// Weighted sums of segments; samples that no later segment reaches are handed out.
class OverlapAdd {
 public:
  OverlapAdd(int64_t segment, double power, const Shape& sample, DType dtype)
      : weights_(triangle(segment, power)),
        totals_(weights_.size(), 0),
        sum_(Tensor::zeros({segment, sample[0], sample[1]}, dtype)) {}

  /// `y` begins at the first sample that was not handed out yet.
  void add(const Tensor& y) {
    const int64_t width = y.numel() / std::max<int64_t>(1, y.dim(0));
    for (int64_t i = 0; i < y.dim(0); ++i)
      totals_[static_cast<size_t>(i)] += weights_[static_cast<size_t>(i)];
    dispatch_floating(sum_.dtype(), "separate", [&]<class T>() {
      T* to = sum_.mut<T>();
      const T* from = y.ptr<T>();
      for (int64_t i = 0; i < y.dim(0); ++i) {
        const T weight = static_cast<T>(weights_[static_cast<size_t>(i)]);
        for (int64_t j = i * width; j < (i + 1) * width; ++j) to[j] += weight * from[j];
      }
    });
  }

  /// The first `count` samples, complete; what is behind them moves to the front.
  Tensor take(int64_t count) {
    Tensor out = sum_.rows(0, count).clone();
    const int64_t width = out.numel() / std::max<int64_t>(1, count), rest = sum_.dim(0) - count;
    dispatch_floating(sum_.dtype(), "separate", [&]<class T>() {
      T *y = out.mut<T>(), *sum = sum_.mut<T>();
      for (int64_t i = 0; i < count; ++i) {
        const T total = static_cast<T>(totals_[static_cast<size_t>(i)]);
        for (int64_t j = i * width; j < (i + 1) * width; ++j) y[j] /= total;
      }
      std::copy(sum + count * width, sum + sum_.numel(), sum);
      std::fill(sum + rest * width, sum + sum_.numel(), T(0));
    });
    std::copy(totals_.begin() + count, totals_.end(), totals_.begin());
    std::fill(totals_.begin() + rest, totals_.end(), 0);
    return out;
  }

 private:
  std::vector<double> weights_, totals_;
  Tensor sum_;
};

void check(const SeparateOptions& options) {
  LATHE_CHECK(ConfigError, options.overlap >= 0 && options.overlap < 1, "separate: overlap is ",
              options.overlap, ", expected at least 0 and below 1");
  LATHE_CHECK(ConfigError, options.segment >= 0 && options.shifts >= 0 && options.max_shift >= 0,
              "separate: segment, shifts and their width must not be negative, found ", options.segment, ", ",
              options.shifts, " and ", options.max_shift);
}

}  // namespace

MixtureReader read_from(const Tensor& mixture) {
  const auto read = [mixture](int64_t from, Tensor& samples) {
    const int64_t width = mixture.dim(1), length = mixture.dim(0), count = samples.dim(0);
    const int64_t lo = std::clamp<int64_t>(-from, 0, count);
    const int64_t hi = std::clamp<int64_t>(length - from, lo, count);
    dispatch_floating(samples.dtype(), "separate", [&]<class T>() {
      T* to = samples.mut<T>();
      std::fill(to, to + lo * width, T(0));
      std::copy_n(mixture.ptr<T>() + (from + lo) * width, (hi - lo) * width, to + lo * width);
      std::fill(to + hi * width, to + count * width, T(0));
    });
  };
  return {.length = mixture.dim(0), .read = read};
}

void separate_parts(SeparationModel& model, const MixtureReader& mixture, const SeparateOptions& options,
                    FunctionRef<void(int64_t from, const Tensor& sources)> sink) {
  check(options);
  const int64_t length = mixture.length, segment = options.segment;
  if (length == 0) return;
  if (segment == 0) return sink(0, estimate(model, {mixture, 0, length}, options));
  const auto stride = static_cast<int64_t>((1 - options.overlap) * static_cast<double>(segment));
  LATHE_CHECK(ConfigError, stride >= 1, "separate: segments of ", segment, " samples that overlap by ",
              options.overlap, " do not advance");
  OverlapAdd sums(segment, options.power, {model.sources(), model.channels()}, model.root_options().dtype);
  for (int64_t from = 0; from < length; from += stride) {
    sums.add(estimate(model, {mixture, from, std::min(segment, length - from)}, options));
    sink(from, sums.take(std::min(stride, length - from)));
  }
}

Tensor separate(SeparationModel& model, const Tensor& mixture, const SeparateOptions& options) {
  LATHE_CHECK(ShapeError, mixture.rank() == 2 && mixture.dim(1) == model.channels(), "separate: mixture is ",
              mixture.shape(), ", expected (T, ", model.channels(), ")");
  const DType dtype = model.root_options().dtype;
  Tensor out = Tensor::empty({mixture.dim(0), model.sources(), model.channels()}, dtype);
  separate_parts(model, read_from(mixture.to(Device::cpu()).to(dtype)), options,
                 [&](int64_t from, const Tensor& part) {
                   Tensor place = out.rows(from, from + part.dim(0));
                   place.copy_from(part);
                 });
  return out;
}

}  // namespace lathe
