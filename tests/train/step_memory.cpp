// What memory a step takes, predicted without taking it, against the allocator's own count.

#include "train/step_memory.h"

#include <cmath>

#include <doctest/doctest.h>

#include "core/block_cache.h"
#include "core/json.h"
#include "models/registry.h"
#include "train/model_state.h"

TEST_SUITE_BEGIN("slow train");

namespace lathe {
namespace {

Value section(const char* text) {
  return parse_json(text, "test");
}

struct Case {
  const char* model;
  Shape sample;  // rank 1: tokens
  int64_t classes;
  int64_t batch;
  bool adam = false;
};

const Case kCases[] = {
    {R"({"type": "resnet20", "blocks": [1, 1, 1]})", {32, 32, 3}, 10, 24},
    {R"({"type": "resnet18_cifar"})", {32, 32, 3}, 10, 16},
    {R"({"type": "mobilenetv1_cifar"})", {32, 32, 3}, 10, 16},
    {R"({"type": "vit_tiny", "image": 32, "patch": 4, "depth": 4, "classes": 10})",
     {32, 32, 3},
     10,
     32,
     true},
    {R"({"type": "gpt", "vocab": 256, "width": 128, "layers": 4, "heads": 4, "context": 64, "dropout": 0})",
     {64},
     256,
     24,
     true},
};

Batch blank_batch(const Case& one, int64_t n, Device device) {
  std::vector<int64_t> dims = {n};
  dims.insert(dims.end(), one.sample.begin(), one.sample.end());
  const bool tokens = one.sample.rank() == 1;
  return {{Tensor::zeros(Shape(dims), tokens ? DType::I64 : DType::F32, device)},
          {Tensor::zeros(tokens ? Shape(dims) : Shape{n}, DType::I64, device)},
          n};
}

/// A model in training with all that it needs.
struct Subject {
  Subject(const Case& one, bool diffq, Device device)
      : model(model_registry().build(section(one.model), {}, RootOptions{.seed = 1, .device = device})),
        task(classification_task(loss_registry().build(section(R"({"type": "cross_entropy"})"), {}))) {
    if (diffq) {
      attach_quantizers(
          *model, section(R"({"rules": [{"type": "diffq", "group": 8, "kind": "any", "min_numel": 2622}]})"),
          {});
      regularizers = build_regularizers(section(R"([{"type": "size", "weight": 1}])"), {});
    }
    const char* rule = one.adam ? R"({"type": "adam"})" : R"({"type": "sgd", "lr": 0.01, "momentum": 0.9})";
    optimizer = optimizer_registry().build(section(rule), {}, model->parameters());
  }

  StepMemory memory(const Case& one, int64_t batch, bool update) {
    return step_memory({*model, *task, *optimizer, regularizers}, blank_batch(one, batch, model->device()), 3,
                       update);
  }

  std::unique_ptr<Model> model;
  std::vector<std::unique_ptr<Regularizer>> regularizers;
  std::unique_ptr<Task> task;
  std::unique_ptr<Optimizer> optimizer;
};

int64_t in_kernels(const Case& one, bool diffq) {
  const int64_t taken = Subject(one, diffq, Device::cpu()).memory(one, 8, false).peak;
  return taken - Subject(one, diffq, Device::meta()).memory(one, 8, false).peak;
}

}  // namespace

TEST_CASE("step memory: what is found without memory is what a step takes") {
  for (const Case& one : kCases) {
    for (const bool diffq : {false, true}) {
      CAPTURE(std::string(one.model));
      CAPTURE(diffq);
      Subject(one, diffq, Device::cpu()).memory(one, one.batch, true);  // what threads keep is there now
      const auto kernels = static_cast<double>(in_kernels(one, diffq));
      const StepMemory predicted = Subject(one, diffq, Device::meta()).memory(one, one.batch, true);
      const StepMemory measured = Subject(one, diffq, Device::cpu()).memory(one, one.batch, true);
      CHECK(predicted.saved > 0);
      CHECK(predicted.saved < predicted.peak);
      CHECK(predicted.peak <= predicted.system);
      CHECK(std::abs(static_cast<double>(predicted.peak) + kernels - static_cast<double>(measured.peak)) <
            0.1 * static_cast<double>(measured.peak));
      CHECK(std::abs(static_cast<double>(predicted.system) + kernels - static_cast<double>(measured.system)) <
            0.1 * static_cast<double>(measured.system));
    }
  }
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("train");

TEST_CASE("step memory: no activation outlives its last use") {
  for (const Case& one : kCases) {
    CAPTURE(std::string(one.model));
    Subject subject(one, false, Device::meta());
    subject.memory(one, one.batch, true);
    const Batch batch = blank_batch(one, one.batch, Device::meta());
    const size_t before = meta_memory().stats().live_bytes;
    const Var loss = subject.task->loss(*subject.model, batch);
    CHECK(meta_memory().stats().live_bytes > before + batch.inputs[0].bytes());
    backward(loss);
    size_t left = loss.data().bytes();
    for (const Parameter* parameter : subject.model->parameters())
      if (!parameter->tied()) left += parameter->raw().grad().bytes();
    const double rounding = 4096.0 * static_cast<double>(subject.model->parameters().size());
    CHECK(static_cast<double>(meta_memory().stats().live_bytes) <
          static_cast<double>(before + left) + rounding);
    subject.optimizer->drop_gradients();
  }
}

// Backward draws the noise again: what stays from forward is the weight that the layer multiplies with and,
// for groups of 8, three numbers each.
TEST_CASE("step memory: noise is not kept for backward") {
  const char* model = R"({"type": "mlp", "input": [32, 32, 1], "hidden": [1024], "classes": 10})";
  const Case one{model, {32, 32, 1}, 10, 2};
  const auto saved = [&](const char* quant) {
    Subject subject(one, false, Device::meta());
    if (quant != nullptr) attach_quantizers(*subject.model, section(quant), {});
    return subject.memory(one, one.batch, false).saved;
  };
  const int64_t plain = saved(nullptr);
  const double weights = 4.0 * (1024 * 1024 + 10 * 1024);
  for (const char* quant : {R"({"rules": [{"type": "diffq", "group": 8}]})",
                            R"({"rules": [{"type": "diffq", "group": 8, "noise": "uniform"}]})",
                            R"({"rules": [{"type": "quant_noise", "bits": 8}]})"}) {
    CAPTURE(std::string(quant));
    CHECK(static_cast<double>(saved(quant) - plain) < (1 + 3.0 / 8) * weights + 64 * 4096);
  }
}

TEST_CASE("memory plan: of a whole experiment, and refused where values decide") {
  const char* text = R"({
    "schema": 1, "name": "plan", "seed": 1,
    "data": {"type": "glyphs", "train": 64, "test": 32, "batch": 16},
    "model": {"type": "resnet20", "blocks": [1, 1, 1]},
    "optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.9},
    "train": {"epochs": 1, "ema": 0.9}
  })";
  const Experiment experiment = parse_experiment(text, "test");
  const TrainingObjects objects = build_training(experiment);
  const MemoryPlan plan = plan_memory(experiment, objects);
  const int64_t parameters = 4 * parameter_count(*objects.model);
  CHECK(plan.averages >= parameters);
  CHECK(plan.batches == 2 * 3 * 16 * (4 * 32 * 32 * 3 + 8));
  CHECK(plan.step > plan.saved);
  CHECK(plan.process > parameters);

  const Experiment ranged = parse_experiment(
      text, "test", {R"(quant={"activations": [{"match": "layer*", "type": "minmax"}, {"type": "lsq"}]})"});
  CHECK(plan_memory(ranged, build_training(ranged)).saved > plan.saved);

  const Experiment freezing = parse_experiment(
      text, "test",
      {R"(quant={"rules": [{"type": "lsq", "oscillation_momentum": 0.1, "freeze_threshold": 0.1}]})"});
  const TrainingObjects frozen = build_training(freezing);
  CHECK_THROWS_AS(plan_memory(freezing, frozen), DeviceError);
}

}  // namespace lathe

TEST_SUITE_END();
