#include "tests/support/kinks.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <string_view>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "core/error.h"
#include "core/kernels/norm.h"
#include "layers/conv.h"

namespace lathe::tests {
namespace {

// Places in what ops save and in their inputs: autograd/ops/conv_chain.cpp, autograd/ops/norm.cpp.
constexpr size_t kChainOut = 1, kChainLayers = 2, kChainPerLayer = 6, kChainResidual = 1;
constexpr size_t kNormOut = 1, kNormBeta = 2, kNormResidual = 3;

bool is(const Node& node, std::string_view op) {
  return node.op == op;
}
bool is_max_pool(const Node& node) {
  return is(node, "max_pool2d") || is(node, "max_pool1d") || is(node, "adaptive_max_pool2d");
}

// What stands in front of an activation whose op was not taught to value_of().
struct Unreadable {
  std::string op;
};

// The values of a float64 graph that no op saved, from those that were.
class Values {
 public:
  explicit Values(const Leaves& leaves) : leaves_(leaves) {}

  // The input of the activation behind an op's sum, or of an op of its own.
  Tensor before_activation(const Node& node) const {
    if (is(node, "relu") || is(node, "relu6")) return of(node.edges.at(0));
    if (is(node, "batch_norm")) {
      return norm(node.saved[0], node.saved[2], node.saved[3], node.saved[4], of(node.edges[kNormBeta]),
                  of(node.edges[kNormResidual]));
    }
    if (!is(node, "conv_bn_chain") || node.saved.size() != kChainLayers + kChainPerLayer)
      throw Unreadable{node.op};
    const auto layer = [&](size_t i) { return node.saved[kChainLayers + i]; };
    return norm(layer(3), layer(4), layer(5), layer(1), layer(2), of(node.edges[kChainResidual]));
  }

  // Of the value that an edge leads to; undefined where there is none.
  Tensor of(const Edge& edge) const {
    if (edge.node != nullptr) return of(*edge.node);
    const auto leaf = leaves_.find(edge.leaf_grad);
    if (leaf != leaves_.end()) return leaf->second;
    if (edge.shape.rank() > 0) throw Unreadable{"an input that is not among the leaves"};
    return {};
  }

 private:
  Tensor of(const Node& node) const {
    if (is(node, "relu") || is(node, "relu6")) return node.saved[0];
    if (is(node, "batch_norm") && node.saved[kNormOut].defined()) return node.saved[kNormOut];
    if (is(node, "conv_bn_chain") && node.saved[kChainOut].defined()) return node.saved[kChainOut];
    if (is(node, "batch_norm") || is(node, "conv_bn_chain")) return before_activation(node);
    if (is_max_pool(node)) return picked(node);
    const NoGrad values_only;
    if (is(node, "add")) return add(Var(of(node.edges[0])), Var(of(node.edges[1]))).data();
    if (is(node, "linear")) {
      const Tensor bias = of(node.edges[2]), residual = of(node.edges[3]);
      return linear(Var(node.saved[0]), Var(node.saved[1]), bias.defined() ? Var(bias) : Var(),
                    {.residual = residual.defined() ? Var(residual) : Var()})
          .data();
    }
    if (is(node, "option_a_shortcut")) {
      const Tensor x = of(node.edges[0]);
      const int64_t stride = (x.dim(1) + node.shape[1] - 1) / node.shape[1];
      return option_a_shortcut(Var(x), stride, node.shape[3]).data();
    }
    throw Unreadable{node.op};
  }

  static Tensor norm(const Tensor& x, const Tensor& mean, const Tensor& invstd, const Tensor& gamma,
                     const Tensor& beta, const Tensor& residual) {
    Tensor y = x.empty_like();
    kernels::batch_norm_apply(y, x, mean, invstd, gamma, beta, residual, false);
    return y;
  }

  Tensor picked(const Node& pool) const {
    const Tensor x = of(pool.edges[0]);
    Tensor y = Tensor::empty(pool.shape, DType::F64);
    for_each_choice(pool.saved[0], x.shape(),
                    [&](int64_t i, int64_t at) { y.mut<double>()[i] = x.ptr<double>()[at]; });
    return y;
  }

 public:
  // visit(output, element of x) of a pool's argmax, which counts pixels of one image.
  template <class Visit>
  static void for_each_choice(const Tensor& argmax, const Shape& x, Visit visit) {
    const int64_t channels = argmax.dim(-1), images = argmax.dim(0);
    const int64_t outputs = argmax.numel() / std::max<int64_t>(images, 1), inputs = x.numel() / x[0];
    const int32_t* choice = argmax.ptr<int32_t>();
    for (int64_t i = 0; i < argmax.numel(); ++i)
      visit(i, i / outputs * inputs + choice[i] * channels + i % channels);
  }

 private:
  const Leaves& leaves_;
};

void add_kinks(const std::shared_ptr<Node>& node, std::vector<Kink>& kinks) {
  const auto add = [&](Kink::Kind kind, size_t saved) {
    const Tensor& state = node->saved.at(saved);
    if (state.defined()) kinks.push_back({kind, node->where, node, static_cast<int>(saved), state});
  };
  if (is(*node, "relu")) add(Kink::Kind::Relu, 0);
  if (is(*node, "relu6")) add(Kink::Kind::Relu6, 0);
  if (is_max_pool(*node)) add(Kink::Kind::MaxPool, 0);
  if (is(*node, "batch_norm")) add(Kink::Kind::Relu, kNormOut);
  if (!is(*node, "conv_bn_chain")) return;
  for (size_t at = kChainLayers; at + kChainPerLayer < node->saved.size(); at += kChainPerLayer) {
    const auto layer = [&](size_t i) { return node->saved[at + i]; };
    Tensor y = layer(3).empty_like();
    kernels::batch_norm_apply(y, layer(3), layer(4), layer(5), layer(1), layer(2), {}, true);
    kinks.push_back({Kink::Kind::Relu, node->where, node, -1, std::move(y)});
  }
  add(Kink::Kind::Relu, kChainOut);
}

double largest(const Tensor& x) {
  double result = 0;
  for (const double value : x.span<double>()) result = std::max(result, std::abs(value));
  return result;
}

// The flat piece of an activation that an output lies in.
int piece(Kink::Kind kind, double y) {
  return (y > 0 ? 1 : 0) + (kind == Kink::Kind::Relu6 && y >= 6 ? 1 : 0);
}

class Follower {
 public:
  Follower(const Leaves& leaves, double tolerance) : values_(leaves), tolerance_(tolerance) {}

  void follow(Kink& reference, const Kink& graph) {
    if (reference.kind != graph.kind || reference.state.shape() != graph.state.shape())
      return complain(reference, "is followed by another op in float32");
    if (reference.saved < 0) return complain(reference, "does not save its output");
    try {
      reference.kind == Kink::Kind::MaxPool ? follow_choice(reference, graph)
                                            : follow_activation(reference, graph);
    } catch (const Unreadable& unreadable) {
      complain(reference, concat("another state, and the values of ", unreadable.op, " are not read back"));
    }
  }

  // Gives the ops copies of their own, so that no other op sees a change. Last, because values are read back
  // from what ops saved.
  Switches finish() {
    for (auto& [kink, state] : changes_) {
      const auto at = static_cast<size_t>(kink->saved);
      kink->node->versions[at] = state.version();
      kink->node->saved[at] = kink->state = std::move(state);
    }
    Switches& s = switches_;
    const auto few = [](int64_t all) { return 2 + all / 100'000; };
    if (s.complaint.empty() && (s.switched > few(s.activations) || s.moved > few(s.choices)))
      s.complaint = concat("more than ", few(s.activations), " activations or ", few(s.choices), " maxima");
    return std::move(s);
  }

 private:
  void complain(const Kink& kink, const std::string& what) {
    if (switches_.complaint.empty()) switches_.complaint = concat(kink.where, ": ", what);
  }

  void check(const Kink& kink, int64_t i, double distance, double bound) {
    switches_.farthest = std::max(switches_.farthest, distance / bound);
    if (!(distance <= bound)) {
      complain(kink, concat("element ", i, " is in another state in float32, though float64 is ", distance,
                            " away from the kink, allowed ", bound));
    }
  }

  static bool activates_to(const Kink& kink, const Tensor& before) {
    const double highest = kink.kind == Kink::Kind::Relu6 ? 6 : INFINITY,
                 allowed = 1e-9 * largest(kink.state);
    const double *v = before.ptr<double>(), *y = kink.state.ptr<double>();
    for (int64_t i = 0; i < before.numel(); ++i) {
      if (!(std::abs(std::clamp(v[i], 0.0, highest) - y[i]) <= allowed)) return false;
    }
    return true;
  }

  void follow_activation(Kink& kink, const Kink& graph) {
    const Tensor y32 = graph.state.to(DType::F64);
    const double *y = kink.state.ptr<double>(), *theirs = y32.ptr<double>();
    const double bound = tolerance_ * largest(kink.state);
    std::vector<int64_t> switched;
    for (int64_t i = 0; i < y32.numel(); ++i) {
      if (!(std::abs(theirs[i] - y[i]) <= bound)) {
        return complain(kink, concat("element ", i, " is ", theirs[i], ", in float64 ", y[i],
                                     ", allowed deviation ", bound));
      }
      if (piece(kink.kind, y[i]) != piece(kink.kind, theirs[i])) switched.push_back(i);
    }
    switches_.activations += y32.numel();
    switches_.switched += static_cast<int64_t>(switched.size());
    if (switched.empty()) return;
    const Tensor before = values_.before_activation(*kink.node);
    if (!activates_to(kink, before)) return complain(kink, "what stands before it was not read back");
    Tensor state = kink.state.clone();
    double* set = state.mut<double>();
    for (const int64_t i : switched) {
      const double v = before.ptr<double>()[i], at = v > 3 ? 6 : 0;
      check(kink, i, std::abs(v - at), bound);
      set[i] = theirs[i];
    }
    changes_.push_back({&kink, std::move(state)});
  }

  void follow_choice(Kink& kink, const Kink& graph) {
    const int32_t *ours = kink.state.ptr<int32_t>(), *theirs = graph.state.ptr<int32_t>();
    switches_.choices += kink.state.numel();
    if (std::equal(ours, ours + kink.state.numel(), theirs)) return;
    const Tensor x = values_.of(kink.node->edges[0]);
    const double bound = tolerance_ * largest(x);
    std::vector<double> chosen(static_cast<size_t>(kink.state.numel()));
    Values::for_each_choice(kink.state, x.shape(), [&](int64_t i, int64_t at) {
      chosen[static_cast<size_t>(i)] = x.ptr<double>()[at];
    });
    Values::for_each_choice(graph.state, x.shape(), [&](int64_t i, int64_t at) {
      if (ours[i] == theirs[i]) return;
      ++switches_.moved;
      check(kink, i, chosen[static_cast<size_t>(i)] - x.ptr<double>()[at], bound);
    });
    changes_.push_back({&kink, graph.state});
  }

  Values values_;
  double tolerance_;
  Switches switches_;
  std::vector<std::pair<Kink*, Tensor>> changes_;
};

}  // namespace

std::vector<Kink> kinks_of(const Var& loss) {
  const auto older = [](const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) {
    return a->sequence < b->sequence;
  };
  std::set<std::shared_ptr<Node>, decltype(older)> nodes(older);
  std::vector<std::shared_ptr<Node>> open{loss.node()};
  while (!open.empty()) {
    const std::shared_ptr<Node> node = open.back();
    open.pop_back();
    if (node == nullptr || !nodes.insert(node).second) continue;
    for (const Edge& edge : node->edges) open.push_back(edge.node);
  }
  std::vector<Kink> kinks;
  for (const std::shared_ptr<Node>& node : nodes) add_kinks(node, kinks);
  return kinks;
}

namespace {

class Identity final : public ActivationParametrization {
 public:
  Var apply(const Var& x, const RunState&, uint32_t) override { return x; }
};

}  // namespace

void save_every_output(const Module& model) {
  for (Module* child : model.children()) {
    if (auto* conv = dynamic_cast<Conv2d*>(child)) conv->input().attach(std::make_shared<Identity>());
    save_every_output(*child);
  }
}

std::string Switches::text() const {
  if (!any()) return {};
  std::string text =
      concat(switched, " of ", activations, " activations are in another state than in float64");
  if (moved > 0) text += concat(", ", moved, " of ", choices, " maxima are others");
  return text + concat(", at most ", farthest, " of the bound from the kink");
}

Switches follow(std::vector<Kink>& reference, const Leaves& leaves, const std::vector<Kink>& graph,
                double tolerance) {
  Follower follower(leaves, tolerance);
  if (reference.size() != graph.size()) {
    Switches switches;
    switches.complaint = concat(graph.size(), " activations and max pools, in float64 ", reference.size());
    return switches;
  }
  for (size_t i = 0; i < graph.size(); ++i) follower.follow(reference[i], graph[i]);
  return follower.finish();
}

}  // namespace lathe::tests
