#pragma once
// Where float32 and float64 gradients may differ by more than rounding: an activation whose input lies within
// float32's error of 0 may be open in one run and closed in the other, and then everything below it differs
// by a whole gradient. At the kink both are subgradients, so a float64 run whose activations are put into the
// float32 run's states is as good a reference, and the tolerance of rounding holds against it.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "autograd/node.h"
#include "layers/module.h"

namespace lathe::tests {

/// An op of a graph whose gradient jumps: relu, relu6 (alone or behind a norm), or the choice of a max pool.
struct Kink {
  enum class Kind { Relu, Relu6, MaxPool };
  Kind kind = Kind::Relu;
  std::string where;  ///< the module that recorded it
  std::shared_ptr<Node> node;
  int saved = -1;  ///< place of `state` among the node's saved tensors; -1: it is recomputed in backward
  Tensor state;    ///< the output, or the pool's argmax
};

/// Of everything that `loss` depends on, before its backward, in order of recording. The float32 and the
/// float64 graph of a model have the same kinks.
std::vector<Kink> kinks_of(const Var& loss);

/// Lets every convolution be an op of its own with the norm and relu behind it, so that backward reads each
/// relu's state from a saved output.
void save_every_output(const Module& model);

/// Of a graph's leaves, by the address of their gradients: what edges know of them.
using Leaves = std::map<const Tensor*, Tensor>;

struct Switches {
  int64_t activations = 0, switched = 0;  ///< elements of activations, and those in another state
  int64_t choices = 0, moved = 0;         ///< outputs of max pools, and those taken from another element
  double farthest = 0;    ///< of what switched or moved: largest distance from the kink, in bounds
  std::string complaint;  ///< the first thing that rounding does not explain; empty: none
  bool any() const { return switched + moved > 0; }
  std::string text() const;
};

/// Puts every kink of `reference` (float64; every relu there saves its output) into the state that it has in
/// `graph`. Complaints: an activation that is further than a bound of `tolerance` max |outputs of that op|
/// from the reference's; a state that differs although the reference's input is further than the bound from
/// the kink (a maximum: although its value exceeds the other by more); more than 2 + 1e-5 of all in other
/// states. Where a float32 run is off by 1e-6 in the mean, about one activation in a million switches.
Switches follow(std::vector<Kink>& reference, const Leaves& leaves, const std::vector<Kink>& graph,
                double tolerance);

}  // namespace lathe::tests
