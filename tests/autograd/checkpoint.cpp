// Activation checkpointing: less memory, the same bits.

#include "autograd/checkpoint.h"

#include <cstring>

#include <doctest/doctest.h>

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "core/allocator.h"
#include "layers/linear.h"

namespace lathe {
namespace {

Tensor noise(const Shape& shape, uint32_t step) {
  Tensor tensor = Tensor::empty(shape, DType::F32);
  const Philox philox{3, stream_id("test"), step};
  for (int64_t i = 0; i < tensor.numel(); ++i)
    tensor.mut<float>()[i] = philox.uniform(static_cast<uint64_t>(i)) - 0.5f;
  return tensor;
}

/// A step-size-like parametrization that counts how often it is evaluated.
class Doubled : public Parametrization {
 public:
  Var apply(const Var& raw, const RunState&, uint32_t) override {
    ++evaluations;
    return scale(raw, 2);
  }
  int evaluations = 0;
};

using Block = std::function<Var(const Var&)>;

struct Net : Module {
  Net() : Module(RootOptions{.seed = 5}), first(*this, "first", 6, 6), second(*this, "second", 6, 6) {}

  Var block(const Var& x) {
    const Philox philox{1, 2, run().step};
    return gelu(second(dropout(gelu(first(x)), 0.3, philox)));
  }
  Linear first, second;
};

std::vector<Tensor> gradients(Net& net, const Block& forward) {
  ++net.run().forward;
  for (Parameter* parameter : net.parameters()) parameter->raw().grad() = Tensor();
  const Var x(noise({4, 6}, 0), true);
  backward(sum(square(forward(x))));
  std::vector<Tensor> result{x.grad()};
  for (Parameter* parameter : net.parameters()) result.push_back(parameter->raw().grad());
  return result;
}

void check_same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CAPTURE(i);
    CHECK(same_bits(a[i], b[i]));
  }
}

Var checkpointed(Net& net, const Var& x) {
  return checkpoint([&net](const std::vector<Var>& in) { return net.block(in[0]); }, {x});
}

}  // namespace

TEST_SUITE_BEGIN("autograd");

TEST_CASE("checkpoint: the same gradient bits, through dropout and parameters") {
  Net net;
  const auto plain = gradients(net, [&](const Var& x) { return net.block(x); });
  check_same(gradients(net, [&](const Var& x) { return checkpointed(net, x); }), plain);
}

TEST_CASE("checkpoint: the same gradient bits when checkpoints nest and repeat") {
  Net net;
  const auto plain = gradients(net, [&](const Var& x) { return net.block(net.block(add(net.block(x), x))); });
  const auto nested = gradients(net, [&](const Var& x) {
    return checkpoint(
        [&net](const std::vector<Var>& in) {
          const Var inner = checkpointed(net, in[0]);
          return checkpointed(net, checkpointed(net, add(inner, in[0])));
        },
        {x});
  });
  check_same(nested, plain);
}

TEST_CASE("checkpoint: a parametrised weight is evaluated once per forward") {
  Net net;
  const auto doubled = std::make_shared<Doubled>();
  net.first.weight().parametrize(doubled);
  const auto plain = gradients(net, [&](const Var& x) { return net.block(net.block(x)); });
  CHECK(doubled->evaluations == 1);
  const auto again = gradients(net, [&](const Var& x) { return checkpointed(net, checkpointed(net, x)); });
  CHECK(doubled->evaluations == 2);
  check_same(again, plain);
  // Mixed: the weight's node is used in the recorded part and reached by the recomputed one.
  const auto mixed = gradients(net, [&](const Var& x) { return checkpointed(net, net.block(x)); });
  CHECK(doubled->evaluations == 3);
  check_same(mixed, plain);
  const auto other = gradients(net, [&](const Var& x) { return net.block(checkpointed(net, x)); });
  CHECK(doubled->evaluations == 4);
  check_same(other, plain);
}

TEST_CASE("checkpoint: inputs that need no gradient get none, and parameters still do") {
  Net net;
  ++net.run().forward;
  const Var x(noise({4, 6}, 0));
  const Var y = checkpointed(net, x);
  CHECK(y.requires_grad());
  backward(sum(square(y)));
  CHECK_FALSE(x.grad().defined());
  CHECK(net.first.weight().raw().grad().defined());
}

TEST_CASE("checkpoint: fn runs once forwards and once backwards, and knows which") {
  std::vector<bool> runs;
  const Var x(noise({4, 6}, 0), true);
  const Var y = checkpoint(
      [&runs](const std::vector<Var>& in) {
        runs.push_back(recomputing());
        return square(in[0]);
      },
      {x});
  CHECK(runs == std::vector<bool>{false});
  backward(sum(y));
  CHECK(runs == std::vector<bool>{false, true});
  CHECK_FALSE(recomputing());
}

TEST_CASE("checkpoint: running statistics move once") {
  const Var x(noise({8, 3}, 0), true), gamma(Tensor::full({3}, 1.0), true),
      beta(Tensor::full({3}, 0.0), true);
  const auto run = [&](bool with_checkpoint) {
    Tensor mean = Tensor::zeros({3}), var = Tensor::full({3}, 1.0);
    const auto fn = [&](const std::vector<Var>& in) {
      return batch_norm(in[0], gamma, beta, mean, var, {.momentum = 0.5});
    };
    backward(sum(square(with_checkpoint ? checkpoint(fn, {x}) : fn({x}))));
    return std::vector<Tensor>{mean, var};
  };
  check_same(run(true), run(false));
}

TEST_CASE("checkpoint: keeps the inputs only") {
  const auto deep = [](const std::vector<Var>& in) {
    Var y = in[0];
    for (int i = 0; i < 10; ++i) y = gelu(y);
    return y;
  };
  const Var x(noise({64, 1024}, 0), true);
  const size_t before = host_allocator::stats().live_bytes, one = x.data().bytes();
  {
    const Var y = checkpoint(deep, {x});
    CHECK(host_allocator::stats().live_bytes <= before + one + 4096);
  }
  const Var y = deep({x});
  CHECK(host_allocator::stats().live_bytes >= before + 9 * one);
}

TEST_CASE("checkpoint: an error while recomputing leaves the tape usable") {
  int calls = 0;
  const Var x(noise({2, 2}, 0), true);
  const Var y = checkpoint(
      [&calls](const std::vector<Var>& in) {
        if (++calls == 2) throw ShapeError("planted");
        return square(in[0]);
      },
      {x});
  CHECK_THROWS_AS(backward(sum(y)), ShapeError);
  CHECK_FALSE(recomputing());
  backward(sum(square(x)));
  CHECK(x.grad().defined());
}

TEST_SUITE_END();

}  // namespace lathe
