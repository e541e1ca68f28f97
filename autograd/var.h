#pragma once
// A value in the graph, the tape that records ops, and what a backward rule sees.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace lathe {

class Backward;
struct OpInfo;
class Node;

using Saved = std::vector<Tensor>;
/// Turns the gradient of an op's output into gradients of its inputs.
using Rule = std::function<void(Backward&)>;

/// Leaves (parameters, inputs) accumulate grad(); every other Var is an op's output. Copies share the value.
/// A Var and its graph belong to one thread at a time.
class Var {
 public:
  Var() = default;
  /// A leaf.
  explicit Var(Tensor data, bool requires_grad = false);

  bool defined() const { return body_ != nullptr; }
  const Tensor& data() const;
  const Shape& shape() const { return data().shape(); }
  int64_t dim(int i) const { return data().dim(i); }
  DType dtype() const { return data().dtype(); }
  bool requires_grad() const;

  /// The accumulated gradient of a leaf; undefined until a backward reached it. Assign Tensor() to drop it.
  Tensor& grad() const;
  /// Replaces a leaf's value (optimisers, loading); the shape must stay. ShapeError otherwise.
  void set_data(Tensor data) const;
  /// Counts set_data calls: with data().version() it tells whether the value is still the same.
  uint64_t replacements() const;
  /// Write access to a leaf's own tensor, for in-place updates.
  Tensor& mutable_data() const;

  /// The same value as a new leaf that requires no gradient.
  Var detach() const;
  /// The op that made this value; null for a leaf.
  const std::shared_ptr<Node>& node() const;

  /// True when both handles are the same value in the graph.
  bool same(const Var& other) const { return body_ == other.body_; }

 private:
  struct Body;
  friend Var record(const char* op, Tensor y, std::vector<Var> inputs, Saved saved, Rule rule, OpInfo info);
  friend class Engine;
  std::shared_ptr<Body> body_;
};

/// What an op costs, for plans and accounting.
struct OpInfo {
  int64_t macs = 0;     ///< multiply-accumulates of this call
  bool always = false;  ///< keep the op although no input requires a gradient (its rule reaches other leaves)
};

/// Makes op `op`'s output `y` a value of the graph. When no input requires a gradient, or NoGrad is active,
/// nothing is kept. `inputs` may hold undefined Vars for optional arguments; their places count in wants(i)
/// and dx(i).
Var record(const char* op, Tensor y, std::vector<Var> inputs, Saved saved, Rule rule, OpInfo info = {});

/// What a backward rule sees.
class Backward {
 public:
  const Tensor& dy() const;
  /// Saved tensor i; StaleTensorError if its storage was written since it was saved.
  const Tensor& saved(int i) const;
  /// Does input i need a gradient? Rules skip the work otherwise.
  bool wants(int i) const;
  const Shape& input_shape(int i) const;
  /// A fresh, uninitialised buffer of input i's shape that the rule fills completely; the tape adds it up.
  Tensor& dx(int i);
  /// Hands over `gradient` for input i without a copy (it may share storage with dy()).
  void pass(int i, Tensor gradient);

 private:
  friend class Engine;
  Backward(Node& node, Tensor dy);
  Node& node_;
  Tensor dy_;
  std::vector<Tensor> dx_;
};

/// Runs the rules of every op that `loss` depends on, newest first, and adds the gradients up in the leaves.
/// `loss` has one element. Frees each op's saved tensors as it goes: a second backward through the same ops
/// throws. Iterative, so depth is bounded by memory only.
void backward(const Var& loss);
/// The same from a gradient of `y` (its shape).
void backward(const Var& y, const Tensor& dy);

/// While alive, ops on this thread record nothing.
class NoGrad {
 public:
  explicit NoGrad(bool disable = true);
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;
  ~NoGrad();

 private:
  bool previous_;
};
bool grad_enabled();

/// One recorded op call, as an OpLog sees it.
struct OpCall {
  std::string op;
  std::string where;  ///< module path and type, "layer1.0.conv1 (Conv2d)"
  Shape output;
  OpInfo info;
};

/// While alive, collects every op call of this thread, with or without gradients. Scopes do not nest.
class OpLog {
 public:
  OpLog();
  OpLog(const OpLog&) = delete;
  OpLog& operator=(const OpLog&) = delete;
  ~OpLog();
  const std::vector<OpCall>& calls() const { return calls_; }

 private:
  friend Var record(const char*, Tensor, std::vector<Var>, Saved, Rule, OpInfo);
  std::vector<OpCall> calls_;
};

}  // namespace lathe
