#pragma once
// The tape's own view of a recorded op. Internal to autograd/.

#include <vector>

#include "autograd/var.h"

namespace lathe {

struct Var::Body {
  Tensor data;
  bool requires_grad = false;
  uint64_t replacements = 0;
  Tensor grad;                 // of a leaf
  std::shared_ptr<Node> node;  // of an op's output
};

/// Where the gradient of one input goes: to the op that made it, or to a leaf. Edges hold no values, so an
/// activation lives exactly as long as some rule saved it.
struct Edge {
  std::shared_ptr<Node> node;
  std::shared_ptr<void> leaf;  // a Var::Body
  Tensor* leaf_grad = nullptr;
  Shape shape;
  DType dtype = DType::F32;
  Device device;
  bool wanted() const { return node != nullptr || leaf != nullptr; }
};

class Node {
 public:
  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  /// Iterative: a chain of any length is released without recursion.
  ~Node();

  const char* op = "";
  uint64_t sequence = 0;  // newer ops have larger numbers
  std::vector<Edge> edges;
  Saved saved;
  std::vector<uint64_t> versions;  // of the saved tensors' storage when they were saved
  Rule rule;
  std::string where;  // the module that recorded it
  Shape shape;        // of the output
  DType dtype = DType::F32;
  Tensor pending;  // gradient of the output, adding up
  bool queued = false;
  bool done = false;
};

}  // namespace lathe
