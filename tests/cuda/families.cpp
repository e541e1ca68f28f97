// What the laws over tables do not see: ops of bf16 activations, which equal the host's in f32 on the same
// numbers up to the rounding of results; NaN for targets out of range; running statistics.

#include <cmath>

#include <doctest/doctest.h>

#include "autograd/ops/attention.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/norm.h"
#include "tests/cuda/device.h"
#include "tests/laws/evaluate.h"

namespace lathe {
namespace {

using Inputs = std::vector<Var>;

/// Numbers that bf16 holds exactly.
Tensor numbers(const Shape& shape, double phase) {
  std::vector<double> values;
  for (int64_t i = 0; i < shape.numel(); ++i) {
    values.push_back(std::round(64 * std::sin(phase + static_cast<double>(i * i % 1013))) / 64);
  }
  return Tensor::from(values, shape).to(DType::F32);
}

/// Shapes of inputs; the first `activations` of them are bf16 on the device.
void check_bf16(const char* name, const std::vector<Shape>& shapes, size_t activations,
                const std::function<Var(const Inputs&)>& apply) {
  if (!tests::cuda_ready()) return;
  Inputs host, device;
  for (size_t i = 0; i < shapes.size(); ++i) {
    const Tensor values = numbers(shapes[i], static_cast<double>(i));
    host.emplace_back(values, true);
    device.emplace_back((i < activations ? values.to(DType::BF16) : values).to(tests::cuda_device()), true);
  }
  const auto run = [&](const Inputs& inputs) {
    const Var y = apply(inputs);
    backward(y, numbers(y.shape(), 9).to(y.dtype()).to(y.data().device()));
    std::vector<Tensor> results{y.data()};
    for (const Var& input : inputs) results.push_back(input.grad());
    return results;
  };
  const std::vector<Tensor> expected = run(host), found = run(device);
  for (size_t i = 0; i < expected.size(); ++i) {
    const DType dtype = i <= activations ? DType::BF16 : DType::F32;
    CHECK_MESSAGE(found[i].dtype() == dtype, name, ": ", i);
    const double error = laws::nmse(found[i].to(Device::cpu()).to(DType::F32), expected[i]);
    CHECK_MESSAGE(error < 1e-4, name, ": ", i, ", ", error);
  }
}

}  // namespace

TEST_SUITE_BEGIN("gpu ops");

TEST_CASE("normalisations of bf16 keep parameters and statistics in f32") {
  for (const int64_t c : {16, 19}) {
    const Shape x{9, 31, c};
    check_bf16("batch_norm", {x, x, {c}, {c}}, 2, [c](const Inputs& in) {
      const Device device = in[0].data().device();
      Tensor mean = Tensor::zeros({c}, DType::F32, device), var = Tensor::full({c}, 1, DType::F32, device);
      return batch_norm(in[0], in[2], in[3], mean, var, {.training = true}, in[1]);
    });
    check_bf16("layer_norm", {x, {c}, {c}}, 1,
               [](const Inputs& in) { return layer_norm(in[0], in[1], in[2]); });
    check_bf16("group_norm", {x, {c}, {c}}, 1,
               [](const Inputs& in) { return group_norm(in[0], in[1], in[2], 1); });
  }
}

TEST_CASE("running statistics on the device equal the host's") {
  if (!tests::cuda_ready()) return;
  const auto run = [](Device device) {
    Tensor mean = Tensor::full({19}, 0.5, DType::F32, device),
           var = Tensor::full({19}, 2, DType::F32, device);
    batch_norm(Var(numbers({40, 7, 19}, 0).to(device)), {}, {}, mean, var, {.training = true}, {});
    return std::vector<Tensor>{mean.to(Device::cpu()), var.to(Device::cpu())};
  };
  const std::vector<Tensor> expected = run(Device::cpu()), found = run(tests::cuda_device());
  for (size_t i = 0; i < 2; ++i) CHECK(laws::nmse(found[i], expected[i]) < 1e-12);
}

TEST_CASE("attention of bf16") {
  for (const int64_t d : {8, 100}) {
    check_bf16("attention", {{2, 37, 2, d}, {2, 41, 2, d}, {2, 41, 2, 24}, {2, 37, 41}}, 4,
               [](const Inputs& in) {
                 return attention(in[0], in[1], in[2], {.causal = true, .key_padding = {}}, in[3]);
               });
  }
}

TEST_CASE("a target out of range makes its row's loss and gradient NaN") {
  if (!tests::cuda_ready()) return;
  const tests::GuardedDevice guards;
  for (const Reduction reduction : {Reduction::None, Reduction::Mean}) {
    const Var logits(numbers({3, 5}, 0).to(tests::cuda_device()), true);
    const Tensor targets = Tensor::from(std::vector<int64_t>{1, 5, -7}, {3}).to(tests::cuda_device());
    const Var y = cross_entropy(logits, targets, {.reduction = reduction, .class_weights = {}});
    backward(y, Tensor::full(y.shape(), 1, DType::F32, tests::cuda_device()));
    const Tensor loss = y.data().to(Device::cpu()), gradient = logits.grad().to(Device::cpu());
    CHECK(std::isnan(loss.ptr<float>()[loss.numel() - 1]));
    for (int64_t i = 5; i < 15; ++i) CHECK(std::isnan(gradient.ptr<float>()[i]));
    if (reduction == Reduction::None) CHECK(std::isfinite(loss.ptr<float>()[0] + gradient.ptr<float>()[0]));
  }
  CHECK(guards.violations() == 0);
}

TEST_SUITE_END();

}  // namespace lathe
