// train.winograd: the switch reaches training, evaluation and the packed file, and a network learns as well
// with it as without.

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "core/json.h"
#include "data/tensor_set.h"
#include "tests/support/scratch.h"
#include "train/build.h"
#include "train/config/identity.h"
#include "train/run.h"
#include "train/run_folder.h"
#include "train/saved_run.h"
#include "train/trainer.h"

TEST_SUITE_BEGIN("train");

namespace lathe::tests {

namespace {

constexpr const char* kExperiment = R"({
  "schema": 1, "name": "winograd", "seed": 3,
  "data": {"type": "glyphs", "train": 1024, "test": 512, "batch": 32},
  "model": {"type": "resnet20", "blocks": [1, 1, 1]},
  "optimizer": {"type": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4},
  "train": {"epochs": 4}
})";

struct Learned {
  std::vector<double> losses;
  double top1 = 0;
};

/// Gratings under noise, (16, 16, 3); the class is the direction.
TensorSet gratings(int64_t n, const char* split) {
  constexpr int64_t kSide = 16, kClasses = 10, kNumbers = kSide * kSide * 3;
  Tensor input = Tensor::empty({n, kSide, kSide, 3});
  Tensor target = Tensor::empty({n}, DType::I64);
  const Philox random{7, stream_id(split), 0}, noise = random.at(1);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t direction = random.below(static_cast<uint64_t>(2 * i), kClasses);
    const double angle = M_PI * static_cast<double>(direction) / kClasses;
    const double phase = 2 * M_PI * random.uniform(static_cast<uint64_t>(2 * i + 1));
    float* to = input.mut<float>() + i * kNumbers;
    for (int64_t k = 0; k < kNumbers; ++k) {
      const auto x = static_cast<double>(k / 3 % kSide), y = static_cast<double>(k / 3 / kSide);
      const double wave = std::sin(1.3 * (x * std::cos(angle) + y * std::sin(angle)) + phase);
      const float u = noise.uniform(static_cast<uint64_t>(i * kNumbers + k));
      to[k] = static_cast<float>(wave) + 3 * (2 * u - 1);
    }
    target.mut<int64_t>()[i] = direction;
  }
  return TensorSet(input, target, {.split = split, .classes = kClasses});
}

Learned learn(bool winograd) {
  const Experiment experiment =
      parse_experiment(kExperiment, "test", {winograd ? "train.winograd=true" : "train.winograd=false"});
  const TensorSet train = gratings(1024, "train"), test = gratings(512, "test");
  const auto model = build_model(experiment, Device::cpu());
  const auto task = build_task(experiment, train.info());
  const auto optimizer = optimizer_registry().build(experiment.optimizer, {}, model->parameters());
  const auto schedule = schedule_registry().build(experiment.schedule, {});
  TrainerOptions options{.train = experiment.train};
  options.batch = options.eval_batch = 32;
  options.seed = 3;
  Trainer trainer({*model, *task, *optimizer, *schedule, train, &test}, options);
  Learned learned;
  while (!trainer.done()) {
    trainer.step();
    learned.losses.push_back(trainer.progress().loss);
  }
  learned.top1 = *find_metric(trainer.evaluate().metrics, "top1");
  return learned;
}

/// Steps [first, first + n): the largest difference, and the mean of a run.
double largest_difference(const Learned& a, const Learned& b, size_t first, size_t n) {
  double largest = 0;
  for (size_t i = first; i < first + n; ++i) largest = std::max(largest, std::abs(a.losses[i] - b.losses[i]));
  return largest;
}
double mean(const Learned& one, size_t first, size_t n) {
  double sum = 0;
  for (size_t i = first; i < first + n; ++i) sum += one.losses[i];
  return sum / static_cast<double>(n);
}

}  // namespace

// Rounding errors grow with every step of training, so only the first steps stay together number by number;
// what the networks learn does not depend on them.
TEST_CASE("winograd: losses follow those of direct convolutions, accuracies are alike") {
  const Learned with = learn(true), without = learn(false);
  REQUIRE(with.losses.size() == 128);
  CHECK(largest_difference(with, without, 0, 4) < 1e-3);
  CHECK(largest_difference(with, without, 4, 12) < 5e-2);
  for (size_t first = 0; first < 128; first += 32) {
    CAPTURE(first);
    CHECK(mean(with, first, 32) == doctest::Approx(mean(without, first, 32)).epsilon(0.03));
  }
  CHECK(without.top1 > 0.8);
  CHECK(std::abs(with.top1 - without.top1) < 0.05);
}

TEST_CASE("winograd: the switch is part of the experiment, the run and the packed file") {
  const Experiment on = parse_experiment(kExperiment, "test"),
                   off = parse_experiment(kExperiment, "test", {"train.winograd=false"});
  CHECK(on.train.math_mode().winograd);
  CHECK(on.train.evaluation_math_mode().winograd);
  CHECK_FALSE(off.train.math_mode().winograd);
  CHECK_FALSE(off.train.evaluation_math_mode().winograd);
  CHECK(changed_keys(resolve_experiment(on), resolve_experiment(off)) ==
        std::vector<std::string>{"train.winograd: true before, false now"});

  const ScratchFolder scratch;
  for (const bool winograd : {true, false}) {
    const Experiment one = parse_experiment(
        kExperiment, "test",
        {winograd ? "train.winograd=true" : "train.winograd=false", "train.epochs=1", "data.train=64",
         "data.test=32", R"(model={"type": "mlp", "input": [32, 32, 3], "hidden": [], "classes": 10})"});
    RunRequest request;
    request.folder = scratch.path() / (winograd ? "on" : "off");
    run_experiment(one, request);
    const SavedRun run = open_run(request.folder), packed = open_run(RunPaths{request.folder}.packed());
    CHECK(run.math.winograd == winograd);
    CHECK(packed.math.winograd == winograd);
  }
}

}  // namespace lathe::tests

TEST_SUITE_END();
