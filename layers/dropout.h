#pragma once
#include "autograd/var.h"
#include "layers/module.h"

namespace lathe {

/// Drops elements with probability p in training. The mask depends on (seed, path, call, step, sample,
/// element), so that micro-batches draw what one big batch would.
class Dropout : public Module {
 public:
  Dropout(Module& parent, std::string name, double p);  ///< ConfigError unless 0 <= p < 1
  const char* type() const override { return "Dropout"; }

  Var operator()(const Var& x) const;  ///< the first axis counts samples
  bool active() const { return training() && p_ > 0; }

 private:
  double p_;
};

/// Drops whole samples of a residual branch, the same way ("stochastic depth").
class DropPath : public Module {
 public:
  DropPath(Module& parent, std::string name, double p);
  const char* type() const override { return "DropPath"; }

  Var operator()(const Var& x) const;
  bool active() const { return training() && p_ > 0; }

 private:
  double p_;
};

}  // namespace lathe
