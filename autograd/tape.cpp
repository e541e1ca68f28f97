// Reverse-mode differentiation: runs the rules newest first.

#include <queue>

#include "autograd/node.h"
#include "autograd/var.h"
#include "core/kernels/elementwise.h"

namespace lathe {
namespace {

void add_to(Tensor& sum, Tensor gradient) {
  if (!sum.defined()) {
    sum = std::move(gradient);
    return;
  }
  if (!sum.unique()) sum = sum.clone();  // somebody else sees this storage
  kernels::accumulate(sum, gradient);
}

// A leaf's gradient is written to in place (clipping, optimizers), so it shares storage with nothing.
void add_to_leaf(Tensor& sum, Tensor gradient) {
  if (!sum.defined() && !gradient.unique()) gradient = gradient.clone();
  add_to(sum, std::move(gradient));
}

// An op's place in the model, for errors its rule raises.
class RecordedContext final : public ErrorContext {
 public:
  explicit RecordedContext(const Node& node) : node_(node) {}
  std::string describe() const override {
    return concat(node_.where.empty() ? std::string("the graph") : node_.where, ", backward of ", node_.op);
  }

 private:
  const Node& node_;
};

}  // namespace

Backward::Backward(Node& node, Tensor dy) : node_(node), dy_(std::move(dy)), dx_(node.edges.size()) {}

const Tensor& Backward::dy() const {
  return dy_;
}

const Tensor& Backward::saved(int i) const {
  const Tensor& tensor = node_.saved.at(static_cast<size_t>(i));
  LATHE_CHECK(StaleTensorError, tensor.version() == node_.versions[static_cast<size_t>(i)], node_.op,
              ": a tensor saved for backward was modified in place");
  return tensor;
}

bool Backward::wants(int i) const {
  return node_.edges.at(static_cast<size_t>(i)).wanted();
}

const Shape& Backward::input_shape(int i) const {
  return node_.edges.at(static_cast<size_t>(i)).shape;
}

Tensor& Backward::dx(int i) {
  const Edge& edge = node_.edges.at(static_cast<size_t>(i));
  LATHE_ASSERT(edge.wanted(), node_.op, " fills a gradient nobody wants");
  Tensor& dx = dx_[static_cast<size_t>(i)];
  if (!dx.defined()) dx = Tensor::empty(edge.shape, edge.dtype, edge.device);
  return dx;
}

void Backward::pass(int i, Tensor gradient) {
  const Edge& edge = node_.edges.at(static_cast<size_t>(i));
  LATHE_ASSERT(gradient.shape() == edge.shape, node_.op, ": gradient of shape ", gradient.shape(),
               " for an input of ", edge.shape);
  if (edge.wanted()) dx_[static_cast<size_t>(i)] = std::move(gradient);
}

/// One backward pass. A rule may itself call backward (activation checkpointing): the nested call shares this
/// queue and runs the ops newer than the one being differentiated; older ones it reaches wait for their turn
/// in the outer pass.
class Engine {
 public:
  static void run(const Var& y, const Tensor& dy) {
    if (y.node() == nullptr) {
      LATHE_CHECK(ShapeError, y.requires_grad(),
                  "backward: the value depends on nothing that requires a gradient");
      add_to_leaf(y.grad(), dy);
      return;
    }
    if (active != nullptr) {
      active->receive(y.node(), dy);
      active->drain(active->current_);
      return;
    }
    Engine engine;
    active = &engine;
    try {
      engine.receive(y.node(), dy);
      engine.drain(0);
    } catch (...) {
      active = nullptr;
      throw;
    }
    active = nullptr;
  }

 private:
  struct Older {
    bool operator()(const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) const {
      return a->sequence < b->sequence;
    }
  };

  void receive(const std::shared_ptr<Node>& node, Tensor gradient) {
    LATHE_CHECK(StaleTensorError, !node->done, "backward: the graph below ", node->op,
                " was already differentiated and freed");
    add_to(node->pending, std::move(gradient));
    if (!node->queued) {
      node->queued = true;
      queue_.push(node);
    }
  }

  void drain(uint64_t newer_than) {
    const uint64_t outer = current_;
    while (!queue_.empty() && queue_.top()->sequence > newer_than) {
      const std::shared_ptr<Node> node = queue_.top();
      queue_.pop();
      current_ = node->sequence;
      differentiate(*node);
    }
    current_ = outer;
  }

  void differentiate(Node& node) {
    Backward frame(node, std::move(node.pending));
    node.pending = Tensor();
    {
      const RecordedContext context(node);
      const ErrorScope scope(context);
      const NoGrad no_grad;
      node.rule(frame);
    }
    node.done = true;
    node.saved.clear();
    node.rule = nullptr;
    frame.dy_ = Tensor();
    for (size_t i = 0; i < node.edges.size(); ++i) {
      Edge& edge = node.edges[i];
      if (!edge.wanted() || !frame.dx_[i].defined()) continue;
      if (edge.node != nullptr) {
        receive(edge.node, std::move(frame.dx_[i]));
      } else {
        add_to_leaf(*edge.leaf_grad, std::move(frame.dx_[i]));
      }
    }
    node.edges.clear();
  }

  // Nested backward calls of a rule find the pass they belong to here.
  static thread_local Engine* active;

  std::priority_queue<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>, Older> queue_;
  uint64_t current_ = 0;
};

thread_local Engine* Engine::active = nullptr;

void backward(const Var& loss) {
  LATHE_CHECK(ShapeError, loss.data().numel() == 1, "backward: the loss has shape ", loss.shape(),
              ", expected one element");
  Engine::run(loss, Tensor::full(loss.shape(), 1.0, loss.dtype(), loss.data().device()));
}

void backward(const Var& y, const Tensor& dy) {
  LATHE_CHECK(ShapeError, dy.shape() == y.shape(), "backward: gradient of shape ", dy.shape(),
              " for a value of shape ", y.shape());
  Engine::run(y, dy);
}

}  // namespace lathe
