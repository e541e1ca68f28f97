// Averages of activations' grids, which a first batch gives: whole runs of tests/train/trainer.cpp have the
// others.

#include "train/ema.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "core/parallel.h"
#include "tests/support/scratch.h"
#include "train/build.h"
#include "train/trainer.h"

namespace lathe::tests {
namespace {

constexpr const char* kExperiment = R"({
  "schema": 1, "name": "ema", "seed": 3,
  "data": {"type": "glyphs", "train": 64, "test": 16, "batch": 16},
  "model": {"type": "mlp", "input": [32, 32, 3], "hidden": [8], "classes": 10},
  "quant": {"activations": [{"type": "lsq_plus", "match": "layers*", "bits": 3}, {"type": "lsq", "bits": 3}]},
  "optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.9},
  "train": {"epochs": 2, "ema": 0.75}
})";

struct Run {
  explicit Run(std::vector<std::string> sets = {})
      : experiment(parse_experiment(kExperiment, "test", sets)),
        objects(build_training(experiment)),
        trainer({*objects.model, *objects.task, *objects.optimizer, *objects.schedule, *objects.data.train},
                options(experiment)) {}

  static TrainerOptions options(const Experiment& experiment) {
    TrainerOptions options{.train = experiment.train};
    options.batch = options.eval_batch = experiment.data_common.batch;
    options.seed = static_cast<uint64_t>(experiment.seed);
    return options;
  }
  void steps(int count) {
    for (int i = 0; i < count; ++i) trainer.step();
  }
  /// The learned numbers of all grids, or their averages.
  std::vector<double> grids(bool averaged = false) {
    std::vector<double> values;
    if (averaged) trainer.ema()->swap();
    for (const ActivationQuantizer* one : activation_quantizers_of(*objects.model)) {
      for (const Parameter* parameter : one->parameters()) values.push_back(parameter->raw().data().item());
    }
    if (averaged) trainer.ema()->swap();
    return values;
  }

  Experiment experiment;
  TrainingObjects objects;
  Trainer trainer;
};

bool same(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const NamedTensor& x, const NamedTensor& y) {
    return x.name == y.name && same_bits(x.tensor, y.tensor);
  });
}

}  // namespace

TEST_SUITE_BEGIN("train");

TEST_CASE("averages of a grid start from what its first batch gives") {
  Run still({"optimizer.lr=0"});
  still.steps(1);
  std::vector<double> expected = still.grids();
  REQUIRE(expected.size() == 3);
  CHECK(expected[0] != 1);  // what it is before any batch
  Run moving;
  for (int step = 0; step < 5; ++step) {
    moving.steps(1);
    const std::vector<double> now = moving.grids(), averages = moving.grids(true);
    for (size_t i = 0; i < expected.size(); ++i) {
      expected[i] = 0.75 * expected[i] + 0.25 * now[i];
      CHECK(averages[i] == doctest::Approx(expected[i]).epsilon(1e-5));
    }
  }
}

TEST_CASE("a run with averaged grids goes on with the same bits, from before its first batch too") {
  Run whole;
  whole.steps(5);
  for (const int before : {0, 1, 3}) {
    CAPTURE(before);
    const ScratchFolder scratch;
    Run first, second;
    first.steps(before);
    second.trainer.restore(read_checkpoint(write_checkpoint(scratch.path(), first.trainer.state(), 1)));
    second.steps(5 - before);
    CHECK(same(second.trainer.state().ema, whole.trainer.state().ema));
    CHECK(same(second.trainer.state().model, whole.trainer.state().model));
  }
}

TEST_CASE("averaged grids are the same for any number of threads") {
  const int before = num_threads();
  std::vector<NamedTensor> one;
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    Run run;
    run.steps(3);
    if (threads == 1) one = run.trainer.state().ema;
    CHECK(same(run.trainer.state().ema, one));
  }
  set_num_threads(before);
}

TEST_SUITE_END();

}  // namespace lathe::tests
