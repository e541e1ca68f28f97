#include "layers/attention.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>

#include <doctest/doctest.h>

#include "autograd/ops/elementwise.h"
#include "core/philox.h"
#include "layers/recompute.h"
#include "layers/transformer.h"

using namespace lathe;

TEST_SUITE_BEGIN("layers");

namespace {

Tensor noise(const Shape& shape, DType dtype = DType::F64) {
  Tensor tensor = Tensor::empty(shape);
  const Philox philox{7, stream_id("test sequences"), 0};
  float* x = tensor.mut<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) x[i] = 2 * philox.uniform(static_cast<uint64_t>(i)) - 1;
  return tensor.to(dtype);
}

double largest_difference(const Tensor& a, const Tensor& b) {
  const auto x = a.span<double>(), y = b.span<double>();
  REQUIRE(x.size() == y.size());
  double largest = 0;
  for (size_t i = 0; i < x.size(); ++i) largest = std::max(largest, std::abs(x[i] - y[i]));
  return largest;
}

// Notes what comes by.
struct Witness : ActivationParametrization {
  Var apply(const Var& x, const RunState&, uint32_t) override {
    seen.push_back(x.data());
    return x;
  }
  std::vector<Tensor> seen;
};

QuantSite& site(Module& module, const std::string& name) {
  for (Module* child : module.children()) {
    if (child->name() == name) return dynamic_cast<QuantSite&>(*child);
  }
  FAIL("no site '", name, "'");
  throw std::logic_error("unreachable");
}

struct Net : Module {
  explicit Net(const SelfAttentionOptions& options, DType dtype = DType::F64)
      : Module({.seed = 3, .dtype = dtype}), attention(*this, "attn", 12, options) {
    run().forward = 1;
  }
  SelfAttention attention;
};

struct Outcome {
  Tensor y, dx;
  std::vector<Tensor> gradients;
};

Outcome run(Net& net) {
  const Var x(noise({2, 5, 12}), true);
  const Var y = net.attention(x);
  backward(y, noise({2, 5, 12}));
  Outcome outcome{y.data(), x.grad(), {}};
  for (const Parameter* p : net.parameters()) outcome.gradients.push_back(p->raw().grad());
  return outcome;
}

}  // namespace

TEST_CASE("attention composed of ops is the fused one") {
  for (const bool causal : {false, true}) {
    for (const double scale : {0.0, 0.7}) {
      CAPTURE(causal);
      CAPTURE(scale);
      const SelfAttentionOptions options{.heads = 3, .scale = scale, .causal = causal};
      Net fused(options), composed(options);
      const auto witness = std::make_shared<Witness>();
      site(composed.attention, "probabilities").attach(witness);
      const Outcome a = run(fused), b = run(composed);
      CHECK(largest_difference(a.y, b.y) < 1e-14);
      CHECK(largest_difference(a.dx, b.dx) < 1e-14);
      REQUIRE(a.gradients.size() == 4);
      for (size_t i = 0; i < a.gradients.size(); ++i)
        CHECK(largest_difference(a.gradients[i], b.gradients[i]) < 1e-13);

      REQUIRE(witness->seen.size() == 1);
      const Tensor& p = witness->seen[0];
      CHECK(p.shape() == Shape{2, 3, 5, 5});
      for (int64_t row = 0; row < 2 * 3 * 5; ++row) {
        double sum = 0;
        for (int64_t s = 0; s < 5; ++s) {
          const double one = p.ptr<double>()[row * 5 + s];
          sum += one;
          if (causal && s > row % 5) CHECK(one == 0);
        }
        CHECK(sum == doctest::Approx(1).epsilon(1e-14));
      }
    }
  }
}

TEST_CASE("a query that sees no key has zeros and no gradients, fused and composed") {
  for (const int64_t queries : {3, 5}) {  // the first two of five lie before all three keys
    for (const bool padded : {false, true}) {
      CAPTURE(queries);
      CAPTURE(padded);
      // Sample 0 begins with padding, sample 1 is nothing else.
      AttentionOptions options{.causal = true, .key_padding = {}};
      if (padded) options.key_padding = Tensor::from(std::vector<uint8_t>{1, 0, 0, 1, 1, 1}, {2, 3});
      const auto outcome = [&](bool fused) {
        const Var q(noise({2, queries, 2, 4}), true), k(noise({2, 3, 2, 4}), true),
            v(noise({2, 3, 2, 4}), true);
        const Var y = fused ? attention(q, k, v, options)
                            : composed_attention(q, k, v, options, [](const Var& p) { return p; });
        backward(y, noise({2, queries, 2, 4}));
        return std::vector<Tensor>{y.data(), q.grad(), k.grad(), v.grad()};
      };
      const std::vector<Tensor> a = outcome(true), b = outcome(false);
      for (size_t i = 0; i < a.size(); ++i) {
        CAPTURE(i);
        for (const double x : b[i].span<double>()) REQUIRE(std::isfinite(x));
        CHECK(largest_difference(a[i], b[i]) < 1e-14);
      }
      const int64_t blind = queries - 3 + (padded ? 1 : 0);  // the first of sample 0
      for (int64_t t = 0; t < 2 * queries; ++t) {
        const bool zero = t % queries < (padded && t >= queries ? queries : blind);
        const auto is_zero = [&](const Tensor& x) {
          const auto row = x.span<double>().subspan(static_cast<size_t>(8 * t), 8);
          return std::all_of(row.begin(), row.end(), [](double value) { return value == 0; });
        };
        CHECK(is_zero(b[0]) == zero);
        if (zero) CHECK(is_zero(b[1]));
      }
    }
  }
}

TEST_CASE("the operands of both products pass their sites") {
  Net net({.heads = 3});
  std::map<std::string, std::shared_ptr<Witness>> witnesses;
  for (const char* name : {"q", "k", "v", "probabilities"}) {
    witnesses[name] = std::make_shared<Witness>();
    site(net.attention, name).attach(witnesses[name]);
  }
  net.attention(Var(noise({2, 5, 12})));
  for (const char* name : {"q", "k", "v"}) {
    REQUIRE(witnesses[name]->seen.size() == 1);
    CHECK(witnesses[name]->seen[0].shape() == Shape{2, 5, 3, 4});
  }
  CHECK(largest_difference(witnesses["q"]->seen[0], witnesses["k"]->seen[0]) > 0.1);
  CHECK(site(net.attention, "q").path() == "attn.q");
}

TEST_CASE("a query sees what a causal mask lets it see") {
  Net net({.heads = 2, .causal = true});
  const Tensor x = noise({1, 6, 12});
  Tensor cut = Tensor::empty({1, 4, 12}, DType::F64);
  std::copy_n(x.ptr<double>(), 4 * 12, cut.mut<double>());
  const Tensor all = net.attention(Var(x)).data(), some = net.attention(Var(cut)).data();
  for (int64_t i = 0; i < 4 * 12; ++i) CHECK(all.ptr<double>()[i] == doctest::Approx(some.ptr<double>()[i]));
}

TEST_CASE("dropout of the probabilities: in training alone, the same for micro-batches") {
  Net net({.heads = 2, .dropout = 0.5});
  const Tensor x = noise({2, 5, 12});
  const Tensor noisy = net.attention(Var(x)).data();
  net.run().mode = Mode::Eval;
  const Tensor plain = net.attention(Var(x)).data();
  CHECK(largest_difference(noisy, plain) > 0.01);
  net.run().mode = Mode::Train;
  Tensor second = Tensor::empty({1, 5, 12}, DType::F64);
  std::copy_n(x.ptr<double>() + 60, 60, second.mut<double>());
  net.run().forward = 2;
  net.run().first_sample = 1;
  const Tensor alone = net.attention(Var(second)).data();
  for (int64_t i = 0; i < 60; ++i)
    CHECK(alone.ptr<double>()[i] == doctest::Approx(noisy.ptr<double>()[60 + i]).epsilon(1e-12));
}

TEST_CASE("names of the projections, and what does not fit") {
  Net net({.heads = 2, .qkv = {.bias = false}, .qkv_name = "to_qkv", .out_name = "to_out.0"});
  std::vector<std::string> names;
  for (const Parameter* p : net.parameters()) names.push_back(p->path());
  CHECK(names ==
        std::vector<std::string>{"attn.to_qkv.weight", "attn.to_out.0.weight", "attn.to_out.0.bias"});
  CHECK_THROWS_AS(net.attention(Var(noise({2, 5, 11}))), ShapeError);
  CHECK_THROWS_AS(net.attention(Var(noise({5, 12}))), ShapeError);
  CHECK_THROWS_AS(Net({.heads = 5}), ConfigError);
  CHECK_THROWS_AS(Net({.heads = 0}), ConfigError);
}

namespace {

struct BlockNet : Module {
  explicit BlockNet(double drop)
      : Module({.seed = 5, .dtype = DType::F64}), block(*this, "0", options(drop)) {
    run().forward = 1;
  }
  static TransformerBlockOptions options(double drop) {
    return {.width = 12,
            .attention = {.heads = 2, .dropout = drop},
            .feed_forward = {.hidden = 24, .dropout = drop},
            .dropout = drop,
            .drop_path = drop};
  }
  TransformerBlock block;
};

}  // namespace

TEST_CASE("a transformer block with noise, recomputed, gives the same gradients") {
  const auto gradients = [](bool recomputed) {
    BlockNet net(0.3);
    const Var x(noise({3, 4, 12}), true);
    const auto fn = [&](const std::vector<Var>& in) { return net.block(in[0]); };
    const Var y = recomputed ? recompute(net, fn, {x}) : fn({x});
    backward(y, noise({3, 4, 12}));
    std::vector<Tensor> all = {y.data(), x.grad()};
    for (const Parameter* p : net.parameters()) all.push_back(p->raw().grad());
    return all;
  };
  const std::vector<Tensor> plain = gradients(false), again = gradients(true);
  REQUIRE(plain.size() == 2 + 12);
  for (size_t i = 0; i < plain.size(); ++i) CHECK(largest_difference(plain[i], again[i]) == 0);
}

TEST_CASE("a sample whose branches are all dropped passes unchanged") {
  BlockNet net(0.9);
  const Tensor x = noise({40, 2, 12});
  const Tensor y = net.block(Var(x)).data();
  int unchanged = 0;
  for (int64_t n = 0; n < 40; ++n)
    unchanged +=
        std::equal(x.ptr<double>() + 24 * n, x.ptr<double>() + 24 * (n + 1), y.ptr<double>() + 24 * n);
  CHECK(unchanged > 20);
  CHECK(unchanged < 40);
}

TEST_CASE("prepended tokens are each sample's, and collect every sample's gradient") {
  const Var a(Tensor::full({1, 1, 2}, 5, DType::F64), true), b(Tensor::full({1, 1, 2}, 6, DType::F64));
  const Var x(noise({3, 4, 2}), true);
  const Var y = prepend_tokens({a, b}, x);
  CHECK(y.shape() == Shape{3, 6, 2});
  for (int64_t n = 0; n < 3; ++n) {
    CHECK(token_at(y, 0).data().ptr<double>()[2 * n] == 5);
    CHECK(token_at(y, 1).data().ptr<double>()[2 * n] == 6);
    CHECK(token_at(y, 3).data().ptr<double>()[2 * n] == x.data().ptr<double>()[8 * n + 2]);
  }
  backward(token_at(y, 0), Tensor::full({3, 2}, 1, DType::F64));
  CHECK(a.grad().ptr<double>()[0] == 3);
  CHECK(largest_difference(x.grad(), Tensor::zeros({3, 4, 2}, DType::F64)) == 0);
}

TEST_SUITE_END();
