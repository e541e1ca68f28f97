#pragma once
// Activation checkpointing: trade a second forward for memory.

#include <functional>
#include <vector>

#include "autograd/var.h"

namespace lathe {

/// fn(inputs), keeping only the inputs; backward runs fn again and differentiates it. fn must be a pure
/// function of its inputs, of parameters and of counter-based randomness (which replays by itself). Gradients
/// have the same bits as without checkpointing.
Var checkpoint(const std::function<Var(const std::vector<Var>&)>& fn, const std::vector<Var>& inputs);

/// True while backward re-runs a checkpointed function: running statistics must not be updated a second time.
bool recomputing();

}  // namespace lathe
