// An outside program: a model of its own, trained on its own tensors.

#include <cstdio>

#include <lathe/lathe.h>

struct Net : lathe::Model {
  explicit Net(const lathe::RootOptions& options) : Model(options) {}
  lathe::Var forward(const lathe::Batch& batch) override {
    return second(lathe::relu(first(lathe::Var(batch.inputs[0]))));
  }
  lathe::Linear first{*this, "first", 2, 16};
  lathe::Linear second{*this, "second", 16, 2};
};

int main() {
  // Is a point of the square in the first or third quadrant?
  constexpr int64_t kPoints = 512;
  lathe::Tensor points = lathe::Tensor::empty({kPoints, 2});
  lathe::Tensor labels = lathe::Tensor::empty({kPoints}, lathe::DType::I64);
  const lathe::Philox random{1, lathe::stream_id("points"), 0};
  for (int64_t i = 0; i < kPoints; ++i) {
    const float x = random.uniform(2 * i) - 0.5f, y = random.uniform(2 * i + 1) - 0.5f;
    points.mut<float>()[2 * i] = x;
    points.mut<float>()[2 * i + 1] = y;
    labels.mut<int64_t>()[i] = x * y > 0 ? 1 : 0;
  }
  const lathe::TensorSet data(points, labels, {.split = "train", .classes = 2});

  const auto section = [](const char* text) { return lathe::parse_json(text, "main.cpp"); };
  Net net(lathe::RootOptions{.seed = 1});
  const auto task =
      lathe::classification_task(lathe::loss_registry().build(section(R"({"type": "cross_entropy"})"), {}));
  const auto optimizer =
      lathe::optimizer_registry().build(section(R"({"type": "adam", "lr": 0.01})"), {}, net.parameters());
  const auto schedule = lathe::schedule_registry().build(section(R"({"type": "cosine"})"), {});
  lathe::TrainerOptions options;
  options.train.epochs = 80;
  options.batch = 32;
  lathe::Trainer trainer({net, *task, *optimizer, *schedule, data, &data}, options);
  trainer.run({});
  const double top1 = *lathe::find_metric(trainer.metrics(), "top1");
  std::printf("top1 %.3f\n", top1);
  return top1 > 0.9 ? 0 : 1;
}
