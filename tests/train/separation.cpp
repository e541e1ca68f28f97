// Separation of whole tracks, its metric and its task.

#include "train/separation.h"

#include <cmath>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "data/sounds.h"
#include "data/tones.h"
#include "models/registry.h"
#include "tests/golden/model_compare.h"
#include "tests/support/golden.h"
#include "train/evaluate.h"
#include "train/separate.h"

using namespace lathe;

namespace {

// Gives back its mixture as every source and needs no context.
class Echo : public SeparationModel {
 public:
  explicit Echo(int64_t needs = 0) : SeparationModel({}), needs_(needs) {}
  Var separate(const Var& mixture) override {
    const int64_t n = mixture.dim(0), t = mixture.dim(1) - 2 * needs_, c = mixture.dim(2);
    Tensor y = Tensor::empty({n, t, 2, c});
    for (int64_t i = 0; i < t; ++i) {
      for (int64_t s = 0; s < 2; ++s) {
        for (int64_t k = 0; k < c; ++k)
          y.mut<float>()[(i * 2 + s) * c + k] =
              static_cast<float>(s + 1) * mixture.data().ptr<float>()[(i + needs_) * c + k];
      }
    }
    return Var(y);
  }
  int64_t valid_length(int64_t length) const override { return length + 2 * needs_; }
  int64_t sources() const override { return 2; }
  int64_t channels() const override { return 2; }

 private:
  int64_t needs_;
};

Tensor ramp(int64_t count) {
  Tensor x = Tensor::empty({count, 2});
  for (int64_t i = 0; i < x.numel(); ++i) x.mut<float>()[i] = static_cast<float>(i % 97) + 1;
  return x;
}

// Linear congruence of the reference's file.
class Noise {
 public:
  explicit Noise(uint64_t seed) : x_(seed) {}
  double next() {
    x_ = (1103515245 * x_ + 12345) % (uint64_t{1} << 31);
    return static_cast<double>(x_) / static_cast<double>(1 << 30) - 1;
  }

 private:
  uint64_t x_;
};

constexpr int64_t kFrame = 200, kFrames = 7;  // samples of a second, seconds

// A track of two noisy stereo sources about a mean. The first is silent in frames 1 and 3 and has its
// channels in antiphase in frame 5; in frame 3 the second is silent too.
class Stems : public SoundSet {
 public:
  explicit Stems(uint64_t seed) : stems(Tensor::empty({kFrames * kFrame, 2, 2})) {
    type = "stems";
    split = "test";
    sources = {"a", "b"};
    rate = kFrame;
    channels = 2;
    Noise noise(seed);
    float* x = stems.mut<float>();
    for (int64_t i = 0; i < 2 * stems.dim(0); ++i) {
      const int64_t frame = i / 2 / kFrame;
      const bool first = i % 2 == 0, silent = frame == 3 || (first && frame == 1);
      for (int64_t c = 0; c < 2; ++c)
        x[2 * i + c] = silent ? 0 : static_cast<float>(0.1 * noise.next() + 0.03);
      if (first && frame == 5) x[2 * i + 1] = -x[2 * i];
    }
    std::vector<float> mixture(static_cast<size_t>(2 * stems.dim(0)));
    read_mixture(0, 0, stems.dim(0), mixture.data());
    SoundStatistics statistics(2);
    statistics.add(mixture.data(), stems.dim(0));
    tracks = {{"track", stems.dim(0), statistics.mean(), statistics.std()}};
  }
  void read_mixture(size_t, int64_t from, int64_t count, float* to) const override {
    sum_sources({to, static_cast<size_t>(2 * count)},
                stems.span<float>().subspan(static_cast<size_t>(4 * from)), 2, 2);
  }
  void read_source(size_t, size_t source, int64_t from, int64_t count, float* to) const override {
    const float* x = stems.ptr<float>() + 4 * from + 2 * static_cast<int64_t>(source);
    for (int64_t t = 0; t < count; ++t) std::copy_n(x + 4 * t, 2, to + 2 * t);
  }

  Tensor stems;
};

std::unique_ptr<Task> task_with(const char* loss, const DatasetInfo& data) {
  return task_for(data, loss_registry().build(parse_json(loss, ""), {}));
}

}  // namespace

TEST_SUITE_BEGIN("sound");

TEST_CASE("segments, overlaps and shifts give back what a model without memory gives") {
  const Tensor x = ramp(1003);
  for (const int64_t needs : {0, 13}) {
    Echo model(needs);
    for (const int64_t segment : {0, 1, 100, 256, 5000}) {
      for (const int64_t shifts : {0, 2}) {
        SeparateOptions options{.segment = segment, .overlap = segment > 1 ? 0.3 : 0, .shifts = shifts};
        options.max_shift = 20;
        CAPTURE(segment);
        CAPTURE(shifts);
        const Tensor y = separate(model, x, options);
        REQUIRE(y.shape() == Shape{1003, 2, 2});
        double worst = 0;
        for (int64_t t = 0; t < 1003; ++t) {
          for (int64_t s = 0; s < 2; ++s) {
            for (int64_t c = 0; c < 2; ++c) {
              const double expected = static_cast<double>(s + 1) * x.ptr<float>()[2 * t + c];
              worst = std::max(worst, std::abs(y.ptr<float>()[(t * 2 + s) * 2 + c] - expected));
            }
          }
        }
        CHECK(worst < 1e-4);
      }
    }
  }
}

TEST_CASE("parts are handed out in order, each sample once, and hold one segment") {
  Echo model;
  int64_t next = 0;
  separate_parts(model, read_from(ramp(1003)), {.segment = 100, .overlap = 0.25},
                 [&](int64_t from, const Tensor& part) {
                   CHECK(from == next);
                   CHECK(part.dim(0) <= 100);
                   next += part.dim(0);
                 });
  CHECK(next == 1003);
  CHECK_THROWS_AS(separate(model, ramp(10), {.segment = 10, .overlap = 1}), ConfigError);
  CHECK_THROWS_AS(separate(model, ramp(10), {.segment = 1, .overlap = 0.5}), ConfigError);
  CHECK_THROWS_AS(separate(model, Tensor::zeros({10, 3})), ShapeError);
}

TEST_CASE("whole frames about a length: what a model takes entirely, below and above") {
  const auto model = model_registry().build(
      parse_json(R"({"type": "demucs", "channels": 2, "depth": 2, "lstm_layers": 0})", "test"), {},
      {.device = Device::meta()});
  const auto& sound = dynamic_cast<const SeparationModel&>(*model);
  CHECK(valid_lengths_about(sound, 498).below == 498);
  for (int64_t length = 498; length < 506; ++length) {
    CHECK(valid_lengths_about(sound, length).below == 498);
    CHECK(valid_lengths_about(sound, length).above == 506);
  }
  CHECK_THROWS_AS(valid_lengths_about(sound, 10), ShapeError);
}

TEST_CASE("sdr is museval's") {
  const auto folder = tests::golden_folder("metrics");
  if (!folder) return;
  const std::string name = "metrics_energy_cost_eval.json";
  const Value file = parse_json(read_text(*folder / name), name);
  const Value& golden = golden::need(golden::need(file, "eval"), "sdr");
  const int64_t rate = golden::need(golden, "fs").as_int(), n = golden::need(golden, "n").as_int();
  // Two stereo references, and estimates = 0.9 reference + 0.1 of the other source + 0.05 noise.
  Tensor reference = Tensor::empty({n, 2, 2}), estimate = reference.clone();
  std::vector<Noise> sounds, noises;
  for (uint64_t i = 1; i <= 4; ++i) sounds.emplace_back(i);
  for (uint64_t i = 5; i <= 8; ++i) noises.emplace_back(i);
  float *r = reference.mut<float>(), *e = estimate.mut<float>();
  for (int64_t t = 0; t < n; ++t) {
    double now[4], noise[4];
    for (size_t i = 0; i < 4; ++i) {
      now[i] = sounds[i].next();
      noise[i] = noises[i].next();
    }
    if (t >= rate && t < 2 * rate) now[0] = now[1] = 0;
    for (size_t i = 0; i < 4; ++i) {
      r[t * 4 + static_cast<int64_t>(i)] = static_cast<float>(now[i]);
      e[t * 4 + static_cast<int64_t>(i)] =
          static_cast<float>(0.9 * now[i] + 0.1 * now[i ^ 2] + 0.05 * noise[i]);
    }
  }
  const std::vector<double> expected = golden::read_reals(golden::need(golden, "nanmedian_SDR"));
  const std::vector<double> found = museval_sdr(reference, estimate, rate);
  REQUIRE(found.size() == 2);
  for (size_t i = 0; i < 2; ++i) CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-6));
}

TEST_CASE("sdr: short sounds are one frame, a perfect frame is infinite, silence has no score") {
  const Tensor x = Tensor::full({10, 1, 1}, 2), half = Tensor::full({10, 1, 1}, 1);
  CHECK(museval_sdr(x, half, 100)[0] == doctest::Approx(10 * std::log10(4.0)));
  CHECK(std::isinf(museval_sdr(x, x, 5)[0]));
  CHECK(std::isnan(museval_sdr(x, Tensor::zeros({10, 1, 1}), 5)[0]));
  CHECK_THROWS_AS(museval_sdr(x, Tensor::zeros({9, 1, 1}), 5), ShapeError);
  CHECK(nan_median({3, std::nan(""), 1, 2, 9}) == 2.5);
  CHECK(nan_median({7}) == 7);
  CHECK(std::isnan(nan_median({})));
}

TEST_CASE("the task trims targets to the model's output, and scores whole tracks") {
  SoundOptions options;
  options.samples = 900;
  options.segment = 1000;
  const SoundDataset train(generate_tones({2, 3000, 1000, 2}, 1, "train"), options, FieldPath(), 1);
  const SoundDataset test(generate_tones({2, 3000, 1000, 2}, 1, "test"), options, FieldPath(), 1);
  const auto model = model_registry().build(
      parse_json(R"({"type": "demucs", "channels": 4, "depth": 2, "lstm_layers": 1})", "test"), {}, {});
  const auto task = task_with(R"({"type": "l1"})", train.info());
  CHECK(task->metric() == "sdr");
  Batch batch = train.allocate(2);
  train.load(0, 0, batch, 0);
  train.load(1, 0, batch, 1);
  const Var loss = task->loss(*model, batch);
  CHECK(std::isfinite(loss.data().item()));
  const EvaluationResult result = evaluate(*model, *task, test, 1, {.hash = true});
  CHECK(result.samples == 2);
  for (const char* name :
       {"loss", "sdr", "sdr_mixture", "sdr_drums", "sdr_bass", "sdr_other", "sdr_vocals"}) {
    CAPTURE(std::string(name));
    const double* value = find_metric(result.metrics, name);
    REQUIRE(value != nullptr);
    CHECK(std::isfinite(*value));
  }
  // The mixture is each source plus three others of about its loudness.
  CHECK(*find_metric(result.metrics, "sdr_mixture") < 0);
}

TEST_CASE("silent frames of a data set's tracks have no score, whatever they are normalised by") {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed);
    auto set = std::make_unique<Stems>(seed);
    const Tensor stems = set->stems;
    const SoundDataset data(std::move(set), {}, FieldPath(), 1);
    Batch batch = data.allocate(1);
    data.load(0, 0, batch, 0);
    const float mean = batch.inputs[1].ptr<float>()[0], std = batch.inputs[1].ptr<float>()[1];
    Tensor estimate = stems.clone(), output = stems.clone(), mixture = stems.clone();
    Noise noise(seed + 100);
    double loss = 0;
    for (int64_t i = 0; i < stems.numel(); ++i) {
      const float x = stems.ptr<float>()[i], e = static_cast<float>(0.9 * double{x} + 0.01 * noise.next());
      const int64_t other = i ^ 2;
      estimate.mut<float>()[i] = e;
      output.mut<float>()[i] = (e - mean) / std;
      mixture.mut<float>()[i] = x + stems.ptr<float>()[other];
      loss += std::abs(double{e} - double{x}) / double{std} / static_cast<double>(stems.numel());
    }
    const auto task = task_with(R"({"type": "l1"})", data.info());
    const auto evaluation = task->evaluation();
    evaluation->add(Var(output.view({1, stems.dim(0), 2, 2})), batch);
    const Metrics metrics = evaluation->result();
    const auto expected = museval_sdr(stems, estimate, kFrame),
               of_mixture = museval_sdr(stems, mixture, kFrame);
    CHECK(*find_metric(metrics, "sdr_a") == doctest::Approx(expected[0]).epsilon(1e-4));
    CHECK(*find_metric(metrics, "sdr_b") == doctest::Approx(expected[1]).epsilon(1e-4));
    CHECK(*find_metric(metrics, "sdr_mixture") ==
          doctest::Approx((of_mixture[0] + of_mixture[1]) / 2).epsilon(1e-4));
    CHECK(*find_metric(metrics, "loss") == doctest::Approx(loss).epsilon(1e-4));
  }
}

TEST_CASE("sounds are compared by a distance, or not at all") {
  DatasetInfo data;
  data.type = "tones";
  data.task = DataTask::Separation;
  for (const char* loss : {"cross_entropy", "soft_cross_entropy", "bce"}) {
    CAPTURE(std::string(loss));
    CHECK_THROWS_WITH_AS(task_with(concat(R"({"type": ")", loss, R"("})").c_str(), data),
                         "loss: data set 'tones' is sound to be separated: expected l1 or mse", ConfigError);
  }
  CHECK_NOTHROW(task_with(R"({"type": "mse"})", data));
}

TEST_SUITE_END();
