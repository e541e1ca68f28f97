// Laws about whole training runs on a CUDA device.

#include <cmath>
#include <numeric>

#include <doctest/doctest.h>

#include "core/files.h"
#include "core/json.h"
#include "core/kernels/random.h"
#include "core/step_graph.h"
#include "tests/cuda/device.h"
#include "tests/laws/evaluate.h"
#include "tests/support/scratch.h"
#include "train/checkpoint.h"
#include "train/run.h"
#include "train/run_folder.h"
#include "train/trainer.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using tests::cuda_device;
using tests::cuda_ready;
using tests::ScratchFolder;

constexpr const char* kExperiment = R"({
  "schema": 1, "name": "tiny", "seed": 4, "device": "cuda",
  "data": {"type": "glyphs", "train": 24, "test": 8, "batch": 8, "augment": [{"type": "flip"}]},
  "model": {"type": "resnet20", "blocks": [1, 1, 1], "classes": 10},
  "optimizer": {"type": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4},
  "schedule": {"type": "cosine", "warmup_epochs": 1},
  "train": {"epochs": 2, "clip_norm": 1.0, "ema": 0.9},
  "output": {"checkpoint_epochs": 1, "keep": 2}
})";  // 3 steps an epoch; the third is recorded

Value run_through(const fs::path& folder, const std::vector<std::string>& sets, bool resume = false,
                  TrainObserver* observer = nullptr) {
  RunRequest request;
  request.folder = folder;
  request.experiment_text = kExperiment;
  request.resume = resume;
  if (observer != nullptr) request.observers = {observer};
  return run_experiment(parse_experiment(kExperiment, "tiny", sets), request);
}

std::vector<NamedTensor> final_model(const fs::path& folder) {
  std::optional<Checkpoint> checkpoint = read_newest_checkpoint(RunPaths{folder}.checkpoints());
  REQUIRE(checkpoint.has_value());
  return checkpoint->model;
}

void check_same(const fs::path& a, const fs::path& b) {
  const std::vector<NamedTensor> left = final_model(a), right = final_model(b);
  REQUIRE(left.size() == right.size());
  for (size_t i = 0; i < left.size(); ++i)
    CHECK_MESSAGE(same_bits(left[i].tensor, right[i].tensor), left[i].name);
}

/// Of all tensors together.
double distance(const fs::path& a, const fs::path& b) {
  const std::vector<NamedTensor> left = final_model(a), right = final_model(b);
  double error = 0, size = 0;
  for (size_t i = 0; i < left.size(); ++i) {
    const double weight = laws::nmse(right[i].tensor, right[i].tensor.zeros_like());  // |right|^2
    error += laws::nmse(left[i].tensor, right[i].tensor) * weight;
    size += weight;
  }
  return error / size;
}

/// Where a run makes its batches, and how many steps it launches as recorded.
struct Where : TrainObserver {
  void on_settled(const Progress&, const Trainer& trainer) override {
    on_device = trainer.augments_on_device();
    launched = trainer.launched_steps();
  }
  bool on_device = false;
  int64_t launched = 0;
};

/// Begins a run that is stopped after `steps` steps.
void interrupt(const fs::path& folder, const std::vector<std::string>& sets, int64_t steps) {
  struct StopAt : TrainObserver {
    explicit StopAt(int64_t n) : steps(n) {}
    void on_step(const Progress& p) override { stop = p.step >= steps; }
    const int64_t steps;
    std::atomic<bool> stop{false};
  } stopper(steps);
  CHECK_THROWS_AS(run_experiment(parse_experiment(kExperiment, "tiny", sets), {.folder = folder,
                                                                               .experiment_text = kExperiment,
                                                                               .resume = false,
                                                                               .initialise = {},
                                                                               .observers = {&stopper},
                                                                               .stop = &stopper.stop}),
                  InterruptedError);
}

/// Settings under which a run's laws are tried: what draws noise, learns widths or follows activations.
const std::vector<std::string>& variants() {
  static const std::vector<std::string> all = {
      "seed=4",  // nothing is quantized
      "quant={\"rules\": [{\"match\": \"*.weight\", \"kind\": \"weight\", \"type\": \"lsq\", \"bits\": 4}]}",
      "quant={\"rules\": [{\"match\": \"*.weight\", \"kind\": \"weight\", \"type\": \"diffq\", \"group\": "
      "8}]}",
      "quant={\"rules\": [{\"match\": \"*.weight\", \"kind\": \"weight\", \"type\": \"codeq\"}]}"};
  return all;
}

}  // namespace

TEST_SUITE_BEGIN("gpu runs");

TEST_CASE("a run on the device follows the CPU's") {
  if (!cuda_ready()) return;
  for (const std::string& quant : variants()) {
    const ScratchFolder scratch;
    CAPTURE(quant);
    const Value there = run_through(scratch / "cuda", {quant}),
                here = run_through(scratch / "cpu", {quant, "device=cpu"});
    const double loss = there.find("metrics")->find("loss")->as_real();
    CHECK(std::abs(loss - here.find("metrics")->find("loss")->as_real()) < 1e-3);
    CHECK(distance(scratch / "cuda", scratch / "cpu") < 1e-6);
  }
}

TEST_CASE("recorded steps give the bits of steps that are launched op by op") {
  if (!cuda_ready()) return;
  for (const std::string& quant : variants()) {
    const ScratchFolder scratch;
    CAPTURE(quant);
    run_through(scratch / "recorded", {quant});
    run_through(scratch / "eager", {quant, "train.cuda_graph=false"});
    check_same(scratch / "recorded", scratch / "eager");
  }
}

TEST_CASE("a run that was interrupted ends with the bits of one that was not, and twice is the same") {
  if (!cuda_ready()) return;
  for (const std::string& quant : {variants()[0], variants()[2]}) {
    const ScratchFolder scratch;
    CAPTURE(quant);
    run_through(scratch / "a", {quant});
    run_through(scratch / "b", {quant});
    check_same(scratch / "a", scratch / "b");
    interrupt(scratch / "c", {quant}, 4);
    run_through(scratch / "c", {quant}, true);
    check_same(scratch / "a", scratch / "c");
  }
}

TEST_CASE("batches made on the device give the bits of the host's, resumed too") {
  if (!cuda_ready()) return;
  Where where;
  const ScratchFolder scratch;
  // The last batch of an epoch is smaller, and the second epoch's first is of the recorded shapes again.
  std::vector<std::string> sets = {"data.train=28",
                                   "data.augment=[{\"type\": \"pad_crop\", \"pad\": 2}, "
                                   "{\"type\": \"flip\"}, {\"type\": \"cutout\", \"size\": 6}]"};
  run_through(scratch / "device", sets, false, &where);
  CHECK(where.on_device);
  CHECK(where.launched > 0);
  interrupt(scratch / "resumed", sets, 5);
  run_through(scratch / "resumed", sets, true);
  check_same(scratch / "device", scratch / "resumed");
  sets.emplace_back("train.device_augment=false");
  run_through(scratch / "host", sets, false, &where);
  CHECK_FALSE(where.on_device);
  check_same(scratch / "device", scratch / "host");
}

TEST_CASE("labels that are mixed are the host's business") {
  if (!cuda_ready()) return;
  Where where;
  const ScratchFolder scratch;
  run_through(scratch / "run",
              {"train.epochs=1", "data.augment=[{\"type\": \"mixup\"}]", "schedule.warmup_epochs=0"}, false,
              &where);
  CHECK_FALSE(where.on_device);
}

TEST_CASE("bf16 activations train, with weights and their file in f32") {
  if (!cuda_ready()) return;
  const ScratchFolder scratch;
  run_through(scratch / "f32", {});
  run_through(scratch / "bf16", {"train.precision=bf16"});
  run_through(scratch / "eager", {"train.precision=bf16", "train.cuda_graph=false"});
  for (const NamedTensor& one : final_model(scratch / "bf16")) CHECK(one.tensor.dtype() != DType::BF16);
  const double rounded = distance(scratch / "bf16", scratch / "f32");
  CHECK(rounded > 0);
  CHECK(rounded < 1e-2);
  check_same(scratch / "bf16", scratch / "eager");
  CHECK_THROWS_AS(run_through(scratch / "host", {"train.precision=bf16", "device=cpu"}), ConfigError);
}

TEST_CASE("a run whose loss is not finite ends as diverged, and saves nothing of it") {
  if (!cuda_ready()) return;
  const ScratchFolder scratch;
  CHECK_THROWS_AS(run_through(scratch / "run", {"optimizer.lr=1e30", "train.clip_norm=null"}), DivergedError);
  CHECK(list_checkpoints(RunPaths{scratch / "run"}.checkpoints()).empty());
  CHECK_THROWS_AS(run_through(scratch / "clipped", {"optimizer.lr=1e30"}), DivergedError);
  CHECK(list_checkpoints(RunPaths{scratch / "clipped"}.checkpoints()).empty());
}

TEST_CASE("launches of a recorded step draw the noise of their own steps") {
  if (!cuda_ready()) return;
  const Tensor ones = Tensor::full({1000}, 1, DType::F32, cuda_device());
  const auto drop = [&](Tensor& y, uint32_t step) {
    kernels::dropout(y, ones, 0.5, Philox{1, stream_id("noise"), step}, 0);
  };
  Tensor recorded;
  const auto graph = StepGraph::record(cuda_device(), 7, [&] {
    recorded = ones.empty_like();
    drop(recorded, 7);
  });
  CHECK(graph->nodes() == 1);
  std::vector<Tensor> launched;
  for (const uint32_t step : {7u, 8u, 7u}) {
    graph->launch(step);
    launched.push_back(recorded.to(Device::cpu()));
    Tensor expected = ones.empty_like();
    drop(expected, step);
    CHECK(same_bits(launched.back(), expected));
  }
  CHECK_FALSE(same_bits(launched[0], launched[1]));
  CHECK(same_bits(launched[0], launched[2]));
  CHECK_THROWS_AS(StepGraph::record(cuda_device(), 7, [&] { drop(recorded, 8); }), NotImplementedError);
  CHECK_THROWS_AS(StepGraph::record(cuda_device(), 7, [&] { (void)ones.to(Device::cpu()); }),
                  NotImplementedError);
  CHECK(ones.to(Device::cpu()).ptr<float>()[3] == 1);  // the stream works on after a recording that failed
}

TEST_SUITE_END();

}  // namespace lathe
