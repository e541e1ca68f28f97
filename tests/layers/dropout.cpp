#include "layers/dropout.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "autograd/checkpoint.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "layers/recompute.h"

using namespace lathe;

TEST_SUITE_BEGIN("layers");

namespace {

bool equal(const Tensor& a, const Tensor& b) {
  const auto x = a.span<float>(), y = b.span<float>();
  return x.size() == y.size() && std::equal(x.begin(), x.end(), y.begin());
}

struct Net : Module {
  Net() : Module({.seed = 11}) { run().forward = 1; }
  Dropout drop{*this, "drop", 0.5};
  DropPath path{*this, "path", 0.5};
};

Tensor ones() {
  return Tensor::full({6, 40}, 1);
}

}  // namespace

TEST_CASE("dropout is the identity in evaluation and scales what it keeps in training") {
  Net net;
  const Var x(ones());
  const Tensor y = net.drop(x).data();
  for (const float value : y.span<float>()) CHECK((value == 0 || value == 2));
  CHECK(std::count(y.span<float>().begin(), y.span<float>().end(), 0.0f) > 60);
  CHECK(std::count(y.span<float>().begin(), y.span<float>().end(), 2.0f) > 60);
  net.run().mode = Mode::Eval;
  CHECK(net.drop(x).same(x));
  CHECK(net.path(x).same(x));
}

TEST_CASE("a mask depends on seed, step and the number of the call, and on nothing else") {
  Net net, other;
  const Var x(ones());
  const Tensor first = net.drop(x).data(), second = net.drop(x).data();
  CHECK_FALSE(equal(first, second));
  net.path(x);
  net.run().forward = 2;  // counts from one again
  CHECK(equal(net.drop(x).data(), first));
  CHECK(equal(net.drop(x).data(), second));
  other.path(x);
  CHECK(equal(other.drop(x).data(), first));
  net.run().forward = 3;
  net.run().step = 1;
  CHECK_FALSE(equal(net.drop(x).data(), first));
}

TEST_CASE("micro-batches draw what one big batch would") {
  Net whole, parts;
  const Tensor dropped = whole.drop(Var(ones())).data(), kept = whole.path(Var(ones())).data();
  for (const int64_t begin : {0, 2}) {
    const int64_t end = begin == 0 ? 2 : 6;
    parts.run().first_sample = static_cast<uint64_t>(begin);
    const Var part(ones().rows(begin, end));
    CHECK(equal(parts.drop(part).data(), dropped.rows(begin, end)));
    CHECK(equal(parts.path(part).data(), kept.rows(begin, end)));
    ++parts.run().forward;
  }
}

TEST_CASE("recomputation draws the masks of the first run again, also of modules used twice") {
  const auto gradient = [](bool recomputed) {
    Net net;
    const Var x(ones(), true);
    const auto block = [&](const std::vector<Var>& in) { return square(net.drop(net.drop(in[0]))); };
    const auto apply = [&](const Var& in) { return recomputed ? recompute(net, block, {in}) : block({in}); };
    const Var y = net.drop(apply(apply(x)));
    backward(sum(y));
    return x.grad();
  };
  CHECK(equal(gradient(true), gradient(false)));
}

TEST_CASE("nested recomputation draws the same masks, too") {
  const auto gradient = [](bool recomputed) {
    Net net;
    const Var x(ones(), true);
    const auto inner = [&](const std::vector<Var>& in) { return square(net.drop(in[0])); };
    const auto outer = [&](const std::vector<Var>& in) {
      const Var y = net.drop(recomputed ? recompute(net, inner, in) : inner(in));
      return net.drop(recomputed ? recompute(net, inner, {y}) : inner({y}));
    };
    backward(sum(recomputed ? recompute(net, outer, {x}) : outer({x})));
    return x.grad();
  };
  CHECK(equal(gradient(true), gradient(false)));
}

TEST_CASE("plain checkpointing works for modules used once and refuses what it cannot replay") {
  const auto run = [](int uses) {
    Net net;
    const Var x(ones(), true);
    Var y = x;
    for (int i = 0; i < uses; ++i)
      y = checkpoint([&](const std::vector<Var>& in) { return square(net.drop(in[0])); }, {y});
    backward(sum(y));
    return x.grad();
  };
  Net net;
  const Var x(ones(), true);
  backward(sum(square(net.drop(x))));
  CHECK(equal(run(1), x.grad()));
  CHECK_THROWS_AS(run(2), ConfigError);
}

TEST_SUITE_END();
