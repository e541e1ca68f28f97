#include "autograd/var.h"

#include <atomic>

#include "autograd/node.h"
#include "core/dispatch.h"

namespace lathe {
namespace {

// Numbers ops in the order they were recorded, over all threads, so that a graph may move between threads.
std::atomic<uint64_t> next_sequence{1};

thread_local bool recording = true;
thread_local OpLog* op_log = nullptr;

// Nodes whose last reference went while another node was being released.
thread_local std::vector<std::shared_ptr<Node>>* releasing = nullptr;

Edge edge_to(const Var& input, const std::shared_ptr<void>& body, Tensor* leaf_grad) {
  Edge edge;
  edge.shape = input.shape();
  edge.dtype = input.dtype();
  edge.device = input.data().device();
  if (!input.requires_grad()) return edge;
  if (input.node() != nullptr) {
    edge.node = input.node();
  } else {
    edge.leaf = body;
    edge.leaf_grad = leaf_grad;
  }
  return edge;
}

}  // namespace

Node::~Node() {
  std::vector<std::shared_ptr<Node>> mine;
  const bool outermost = releasing == nullptr;
  if (outermost) releasing = &mine;
  for (Edge& edge : edges) {
    if (edge.node != nullptr) releasing->push_back(std::move(edge.node));
  }
  edges.clear();
  rule = nullptr;  // may hold Vars of its own
  if (!outermost) return;
  while (!mine.empty()) {
    const std::shared_ptr<Node> last = std::move(mine.back());
    mine.pop_back();
  }
  releasing = nullptr;
}

Var::Var(Tensor data, bool requires_grad) : body_(std::make_shared<Body>()) {
  LATHE_CHECK(ShapeError, data.defined(), "var: the tensor is undefined");
  LATHE_CHECK(DTypeError, !requires_grad || is_floating(data.dtype()),
              "var: only f32, f64 and bf16 have gradients, not ", data.dtype());
  body_->data = std::move(data);
  body_->requires_grad = requires_grad;
}

const Tensor& Var::data() const {
  LATHE_CHECK(ShapeError, defined(), "var: access to an undefined value");
  return body_->data;
}

bool Var::requires_grad() const {
  return defined() && body_->requires_grad;
}

Tensor& Var::grad() const {
  LATHE_CHECK(ShapeError, defined(), "var: access to an undefined value");
  LATHE_CHECK(NotImplementedError, body_->node == nullptr,
              "grad: only leaves keep gradients, this is the output of ", body_->node->op);
  return body_->grad;
}

void Var::set_data(Tensor data) const {
  LATHE_CHECK(ShapeError, defined() && data.shape() == shape(), "set_data: found shape ", data.shape(),
              ", expected ", shape());
  LATHE_CHECK(DTypeError, data.dtype() == dtype(), "set_data: found ", data.dtype(), ", expected ", dtype());
  LATHE_CHECK(NotImplementedError, body_->node == nullptr, "set_data: only for leaves");
  body_->data = std::move(data);
  ++body_->replacements;
}

uint64_t Var::replacements() const {
  return defined() ? body_->replacements : 0;
}

Tensor& Var::mutable_data() const {
  LATHE_CHECK(ShapeError, defined(), "var: access to an undefined value");
  return body_->data;
}

Var Var::detach() const {
  return Var(data());
}

const std::shared_ptr<Node>& Var::node() const {
  static const std::shared_ptr<Node> none;
  return defined() ? body_->node : none;
}

Var record(const char* op, Tensor y, std::vector<Var> inputs, Saved saved, Rule rule, OpInfo info) {
  if (op_log != nullptr) op_log->calls_.push_back({op, error_context(), y.shape(), info});
  bool wanted = info.always;
  for (const Var& input : inputs) wanted = wanted || input.requires_grad();
  Var result;
  result.body_ = std::make_shared<Var::Body>();
  result.body_->data = std::move(y);
  if (!wanted || !recording) return result;

  auto node = std::make_shared<Node>();
  node->op = op;
  node->sequence = next_sequence.fetch_add(1, std::memory_order_relaxed);
  node->edges.reserve(inputs.size());
  for (const Var& input : inputs) {
    node->edges.push_back(input.defined() ? edge_to(input, input.body_, &input.body_->grad) : Edge{});
  }
  node->versions.reserve(saved.size());
  for (const Tensor& tensor : saved) node->versions.push_back(tensor.version());
  node->saved = std::move(saved);
  node->rule = std::move(rule);
  node->where = error_context();
  node->shape = result.shape();
  node->dtype = result.dtype();
  result.body_->requires_grad = true;
  result.body_->node = std::move(node);
  return result;
}

NoGrad::NoGrad(bool disable) : previous_(recording) {
  recording = !disable;
}
NoGrad::~NoGrad() {
  recording = previous_;
}
bool grad_enabled() {
  return recording;
}

OpLog::OpLog() {
  LATHE_CHECK(NotImplementedError, op_log == nullptr, "op log: scopes do not nest");
  op_log = this;
}
OpLog::~OpLog() {
  op_log = nullptr;
}

}  // namespace lathe
