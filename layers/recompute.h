#pragma once
// Activation checkpointing of modules.

#include <functional>
#include <vector>

#include "autograd/var.h"
#include "layers/module.h"

namespace lathe {

/// checkpoint(fn, inputs) for a function that calls modules of `module`'s tree. Call numbers are replayed, so
/// that a module used several times in one forward draws the same noise when it is recomputed.
Var recompute(Module& module, const std::function<Var(const std::vector<Var>&)>& fn,
              const std::vector<Var>& inputs);

}  // namespace lathe
