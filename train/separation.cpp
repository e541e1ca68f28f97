#include "train/separation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/ops/elementwise.h"
#include "train/separate.h"

namespace lathe {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

SeparationModel& separation_model(Model& model) {
  auto* separates = dynamic_cast<SeparationModel*>(&model);
  LATHE_CHECK(ConfigError, separates != nullptr, model.type(), " separates no sources");
  return *separates;
}

/// Sums of squares of one frame [lo, hi) of a source: of the reference, and of the estimate's error.
struct Energy {
  double signal = 0, error = 0;
  bool silent_reference = true, silent_estimate = true;
};

Energy energy_of(const float* s, const float* e, int64_t count, int64_t step, int64_t channels) {
  Energy energy;
  for (int64_t t = 0; t < count; ++t) {
    double reference = 0, estimate = 0;
    for (int64_t c = 0; c < channels; ++c) {
      const double a = s[t * step + c], b = e[t * step + c];
      reference += a;
      estimate += b;
      energy.signal += a * a;
      energy.error += (b - a) * (b - a);
    }
    energy.silent_reference = energy.silent_reference && reference == 0;
    energy.silent_estimate = energy.silent_estimate && estimate == 0;
  }
  return energy;
}

/// A track of an evaluation batch, on the host, as it was recorded.
struct Track {
  Tensor mixture, sources;  ///< (1, T, channels), (1, T, sources, channels)
  float mean = 0, std = 1;  ///< what the model's input was normalised by

  Tensor normalized(const Tensor& x) const {
    const auto scale = static_cast<float>(1 / double{std});
    return mapped(x, [this, scale](float value) { return (value - mean) * scale; });
  }
  Tensor denormalized(const Tensor& x) const {
    return mapped(x, [this](float value) { return value * std + mean; });
  }

 private:
  template <class Fn>
  static Tensor mapped(const Tensor& x, const Fn& fn) {
    Tensor y = x.clone();
    for (float *p = y.mut<float>(), *end = p + y.numel(); p != end; ++p) *p = fn(*p);
    return y;
  }
};

Track track_of(const Batch& batch) {
  const auto on_host = [](const Tensor& x) { return x.to(Device::cpu()); };
  Track track{.mixture = on_host(batch.inputs.at(0)), .sources = on_host(batch.targets.at(0))};
  if (batch.inputs.size() == 1) return track;  // of the training split: its stretches stay as they are
  const Tensor by = on_host(batch.inputs[1]);
  track.mean = by.ptr<float>()[0];
  track.std = by.ptr<float>()[1];
  track.mixture = on_host(batch.inputs.at(2));
  return track;
}

class SeparationEvaluation : public Evaluation {
 public:
  SeparationEvaluation(const Loss& loss, const DatasetInfo& data)
      : loss_(loss), data_(data), scores_(data.class_names.size()), mixtures_(data.class_names.size()) {}

  /// output (1, T, sources, channels), normalised.
  void add(const Var& output, const Batch& batch) override {
    const Tensor estimate = output.data().to(Device::cpu()).to(DType::F32);
    const Track track = track_of(batch);
    LATHE_CHECK(ShapeError, batch.size == 1 && estimate.shape() == track.sources.shape(),
                "separation: evaluation needs one track a batch, found ", batch.size, " samples of ",
                estimate.shape(), " for targets ", track.sources.shape());
    const Batch normalized{.inputs = {}, .targets = {track.normalized(track.sources)}, .size = 1};
    losses_ += loss_.plain(Var(estimate), normalized).data().item();
    ++tracks_;
    const Shape shape{estimate.dim(1), estimate.dim(2), estimate.dim(3)};
    const Tensor reference = track.sources.view(shape);
    keep(scores_, museval_sdr(reference, track.denormalized(estimate).view(shape), data_.sound.rate));
    keep(mixtures_, museval_sdr(reference, repeated(track.mixture, shape), data_.sound.rate));
  }

  Metrics result() const override {
    LATHE_CHECK(DataError, tracks_ > 0, "evaluation: the split has no samples");
    Metrics metrics{{"loss", losses_ / tracks_}, {"sdr", 0}, {"sdr_mixture", 0}};
    const auto count = static_cast<double>(scores_.size());
    for (size_t s = 0; s < scores_.size(); ++s) {
      const double score = nan_median(scores_[s]);
      metrics[1].value += score / count;
      metrics[2].value += nan_median(mixtures_[s]) / count;
      metrics.push_back({"sdr_" + data_.class_names[s], score});
    }
    return metrics;
  }

 private:
  static void keep(std::vector<std::vector<double>>& all, const std::vector<double>& track) {
    LATHE_CHECK(ShapeError, track.size() == all.size(), "separation: the model has ", track.size(),
                " sources, the data ", all.size());
    for (size_t s = 0; s < all.size(); ++s) all[s].push_back(track[s]);
  }

  /// The mixture in the place of every source.
  static Tensor repeated(const Tensor& mixture, const Shape& track) {
    Tensor y = Tensor::empty(track);
    const int64_t c = track[2];
    for (int64_t t = 0; t < track[0]; ++t) {
      for (int64_t s = 0; s < track[1]; ++s)
        std::copy_n(mixture.ptr<float>() + t * c, c, y.mut<float>() + (t * track[1] + s) * c);
    }
    return y;
  }

  const Loss& loss_;
  DatasetInfo data_;
  std::vector<std::vector<double>> scores_, mixtures_;  // [source][track]
  double losses_ = 0, tracks_ = 0;
};

class SeparationTask : public Task {
 public:
  SeparationTask(std::unique_ptr<Loss> loss, const DatasetInfo& data) : loss_(std::move(loss)), data_(data) {}

  Var loss(Model& model, const Batch& batch) override {
    const Var output = cast(separation_model(model).forward(batch), model.root_options().dtype);
    const Batch trimmed{.inputs = batch.inputs,
                        .targets = {center_trim(Var(batch.targets.at(0)), 1, output.dim(1)).data()},
                        .size = batch.size};
    return (*loss_)(output, trimmed);
  }

  Var output(Model& model, const Batch& batch) const override {
    const Tensor& mixture = batch.inputs.at(0);
    LATHE_CHECK(ShapeError, mixture.rank() == 3 && mixture.dim(0) == 1,
                "separation: tracks are separated one by one, found a batch of ", mixture.shape());
    const SoundInfo& sound = data_.sound;
    const SeparateOptions options{.segment = sound.segment,
                                  .overlap = sound.overlap,
                                  .shifts = sound.shifts,
                                  .max_shift = sound.rate / 2};
    const Tensor y =
        separate(separation_model(model), mixture.view({mixture.dim(1), mixture.dim(2)}), options);
    return Var(y.view({1, y.dim(0), y.dim(1), y.dim(2)}));
  }

  std::unique_ptr<Evaluation> evaluation() const override {
    return std::make_unique<SeparationEvaluation>(*loss_, data_);
  }
  std::string metric() const override { return "sdr"; }

 private:
  std::unique_ptr<Loss> loss_;
  DatasetInfo data_;
};

}  // namespace

double nan_median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  if (values.empty()) return kNaN;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  if (values.size() % 2 == 1 || values[half - 1] == values[half]) return values[half];
  return (values[half - 1] + values[half]) / 2;
}

std::vector<double> museval_sdr(const Tensor& reference, const Tensor& estimate, int64_t rate) {
  LATHE_CHECK(ShapeError, reference.rank() == 3 && reference.shape() == estimate.shape(),
              "sdr: references are ", reference.shape(), ", estimates ", estimate.shape(),
              ", expected (T, sources, channels)");
  LATHE_CHECK(ShapeError, rate >= 1, "sdr: the rate is ", rate);
  const int64_t length = reference.dim(0), sources = reference.dim(1), channels = reference.dim(2);
  const int64_t frame = std::min(rate, length), frames = length == 0 ? 0 : length / frame;
  const int64_t step = sources * channels;
  std::vector<std::vector<double>> scores(static_cast<size_t>(sources));
  for (int64_t i = 0; i < frames; ++i) {
    std::vector<Energy> energies;
    bool silent = false;
    for (int64_t s = 0; s < sources; ++s) {
      const int64_t at = i * frame * step + s * channels;
      energies.push_back(
          energy_of(reference.ptr<float>() + at, estimate.ptr<float>() + at, frame, step, channels));
      silent = silent || energies.back().silent_reference || energies.back().silent_estimate;
    }
    if (silent) continue;
    for (size_t s = 0; s < scores.size(); ++s)
      scores[s].push_back(10 * std::log10(energies[s].signal / energies[s].error));
  }
  std::vector<double> medians;
  for (std::vector<double>& one : scores) medians.push_back(nan_median(std::move(one)));
  return medians;
}

std::unique_ptr<Task> separation_task(std::unique_ptr<Loss> loss, const DatasetInfo& data) {
  LATHE_CHECK(ConfigError, loss->distance(), "loss: data set '", data.type,
              "' is sound to be separated: expected l1 or mse");
  return std::make_unique<SeparationTask>(std::move(loss), data);
}

}  // namespace lathe
