// Blocks that are one op in training: what modules see of them stays as it is for the composition.

#include "layers/blocks.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <doctest/doctest.h>

#include "autograd/ops/elementwise.h"
#include "core/math_mode.h"
#include "core/parallel.h"
#include "core/philox.h"
#include "layers/recompute.h"

using namespace lathe;

TEST_SUITE_BEGIN("layers");

namespace {

struct Halved : ActivationParametrization {
  Var apply(const Var& x, const RunState&, uint32_t) override {
    ++calls;
    return scale(x, 0.5);
  }
  int calls = 0;
};

struct Doubled : Parametrization {
  Var apply(const Var& raw, const RunState&, uint32_t) override {
    ++calls;
    return scale(raw, 2);
  }
  int calls = 0;
};

struct Block : Module {
  explicit Block(const RootOptions& options = {.seed = 3})
      : Module(options),
        conv1(*this, "conv1", 16, 16, {.kernel = 3, .pad = 1}),
        bn1(*this, "bn1", 16),
        conv2(*this, "conv2", 16, 16, {.kernel = 3, .pad = 1}),
        bn2(*this, "bn2", 16) {}

  Var operator()(const Var& x) { return residual_block({conv1, bn1}, {conv2, bn2}, x, x); }
  Var composed(const Var& x) { return bn2(conv2(bn1(conv1(x), {.relu = true})), {true, x}); }

  Conv2d conv1;
  BatchNorm bn1;
  Conv2d conv2;
  BatchNorm bn2;
};

Tensor noise(const Shape& shape, DType dtype = DType::F32) {
  Tensor tensor = Tensor::empty(shape, DType::F32);
  const Philox philox{3, stream_id("blocks"), 0};
  for (int64_t i = 0; i < tensor.numel(); ++i)
    tensor.mut<float>()[i] = philox.uniform(static_cast<uint64_t>(i)) - 0.5f;
  return tensor.to(dtype);
}

std::vector<std::string> ops_of(FunctionRef<void()> fn) {
  const OpLog log;
  fn();
  std::vector<std::string> ops;
  for (const OpCall& call : log.calls()) ops.push_back(call.op);
  return ops;
}

using Ops = std::vector<std::string>;

}  // namespace

TEST_CASE("a residual block is one op in training and its layers' in evaluation") {
  Block block;
  const Var x(noise({2, 8, 8, 16}));
  CHECK(ops_of([&] { block(x); }) == Ops{"conv_bn_chain"});
  block.run().mode = Mode::Eval;
  CHECK(ops_of([&] { block(x); }) == Ops{"conv2d", "batch_norm", "conv2d", "batch_norm"});
  Block shapes({.device = Device::meta()});
  const Var meta(Tensor::empty({2, 8, 8, 16}, DType::F32, Device::meta()));
  CHECK(shapes(meta).shape() == x.shape());
}

TEST_CASE("a residual block and its layers agree: values, gradients, running statistics, quantized weights") {
  Block fused({.seed = 3, .dtype = DType::F64}), composed({.seed = 3, .dtype = DType::F64});
  const auto quantizer = std::make_shared<Doubled>();
  fused.conv2.weight().parametrize(quantizer);
  composed.conv2.weight().parametrize(std::make_shared<Doubled>());
  const Tensor x = noise({3, 9, 7, 16}, DType::F64);
  const Var a = fused(Var(x)), b = composed.composed(Var(x));
  CHECK(quantizer->calls == 1);
  backward(a, noise(x.shape(), DType::F64));
  backward(b, noise(x.shape(), DType::F64));
  const auto close = [](const Tensor& p, const Tensor& q) {
    REQUIRE(p.defined());
    double worst = 0;
    for (int64_t i = 0; i < p.numel(); ++i)
      worst = std::max(worst, std::abs(p.ptr<double>()[i] - q.ptr<double>()[i]));
    return worst < 1e-10;
  };
  CHECK(close(a.data(), b.data()));
  const auto left = fused.parameters(), right = composed.parameters();
  for (size_t i = 0; i < left.size(); ++i) CHECK(close(left[i]->raw().grad(), right[i]->raw().grad()));
  const auto buffers = fused.buffers(), others = composed.buffers();
  for (size_t i = 0; i < buffers.size(); ++i) CHECK(close(buffers[i]->data(), others[i]->data()));
}

TEST_CASE("an activation quantizer inside a block still quantizes") {
  Block block;
  const Var x(noise({2, 8, 8, 16}));
  const auto inner = std::make_shared<Halved>(), first = std::make_shared<Halved>();
  block.conv2.input().attach(inner);
  CHECK(ops_of([&] { block(x); }) == Ops{"conv_bn_chain", "scale", "conv_bn_chain"});
  CHECK(inner->calls == 1);
  block.conv1.input().attach(first);
  CHECK(ops_of([&] { block(x); }) == Ops{"scale", "conv_bn_chain", "scale", "conv_bn_chain"});
  CHECK(first->calls == 1);
  const MathModeScope direct({.winograd = false});  // one algorithm on both sides
  Block plain;
  plain.conv1.input().attach(first);
  plain.conv2.input().attach(inner);
  CHECK(same_bits(block(x).data(), plain(x).data()));
  CHECK_FALSE(same_bits(block(x).data(), Block()(x).data()));
}

TEST_CASE("a wrong shape inside a block names the layer") {
  Block block;
  CHECK_THROWS_WITH_AS(block(Var(noise({2, 8, 8, 12}))), doctest::Contains("in conv1 (Conv2d)"), ShapeError);
  Module root;
  Conv2d conv(root, "conv", 4, 4);
  BatchNorm bn(root, "bn", 5);
  CHECK_THROWS_WITH_AS(conv_bn_act({conv, bn}, Var(noise({2, 3, 3, 4}))),
                       doctest::Contains("in bn (BatchNorm)"), ShapeError);
}

TEST_CASE("a recomputed block moves its statistics once and has the same gradients") {
  Block plain, again;
  const Tensor x = noise({2, 8, 8, 16});
  backward(plain(Var(x)), noise(x.shape()));
  backward(recompute(again, [&](const std::vector<Var>& in) { return again(in[0]); }, {Var(x)}),
           noise(x.shape()));
  const auto left = plain.parameters(), right = again.parameters();
  for (size_t i = 0; i < left.size(); ++i) CHECK(same_bits(left[i]->raw().grad(), right[i]->raw().grad()));
  CHECK(same_bits(plain.bn1.running_mean().data(), again.bn1.running_mean().data()));
  CHECK(same_bits(plain.bn2.running_var().data(), again.bn2.running_var().data()));
}

TEST_CASE("the momentum of measured statistics reaches a block") {
  Block block;
  block.run().statistics_momentum = 1;
  const Tensor before = block.bn1.running_mean().data().clone();
  block(Var(noise({4, 8, 8, 16})));
  const Tensor once = block.bn1.running_mean().data().clone();
  CHECK_FALSE(same_bits(before, once));
  block(Var(noise({4, 8, 8, 16})));
  CHECK(same_bits(once, block.bn1.running_mean().data()));  // replaced, not mixed
}

TEST_CASE("bottlenecks and chains of any length, depthwise layers among them, are one op") {
  Module root({.seed = 3});
  Conv2d narrow(root, "narrow", 16, 4), middle(root, "middle", 4, 4, {.kernel = 3, .pad = 1});
  Conv2d wide(root, "wide", 4, 16),
      depthwise(root, "depthwise", 16, 16, {.kernel = 3, .pad = 1, .groups = 16});
  BatchNorm bn1(root, "bn1", 4), bn2(root, "bn2", 4), bn3(root, "bn3", 16), bn4(root, "bn4", 16);
  const Var x(noise({2, 6, 6, 16}));
  CHECK(ops_of([&] {
          bottleneck_block({narrow, bn1}, {middle, bn2}, {wide, bn3}, x, x);
        }) == Ops{"conv_bn_chain"});
  const std::array<ConvBn, 4> all = {{{depthwise, bn4}, {narrow, bn1}, {middle, bn2}, {wide, bn3}}};
  CHECK(ops_of([&] { CHECK(conv_bn_chain(all, x).shape() == x.shape()); }) == Ops{"conv_bn_chain"});
}

TEST_SUITE_END();
