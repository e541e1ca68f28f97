#pragma once
#include "autograd/var.h"
#include "core/batch.h"
#include "layers/module.h"

namespace lathe {

/// The root of a module tree that maps a batch to an output (logits, samples, ...).
class Model : public Module {
 public:
  explicit Model(const RootOptions& options) : Module(options) {}
  virtual Var forward(const Batch& batch) = 0;
};

}  // namespace lathe
