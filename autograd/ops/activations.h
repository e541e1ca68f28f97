#pragma once
// Activation functions, elementwise unless said otherwise.

#include "autograd/var.h"

namespace lathe {

Var relu(const Var& x);   ///< gradient 0 at 0
Var relu6(const Var& x);  ///< min(max(x, 0), 6); gradient 0 at both bounds
Var leaky_relu(const Var& x, double slope = 0.01);
Var elu(const Var& x, double alpha = 1.0);
Var gelu(const Var& x);       ///< 0.5 x (1 + erf(x / sqrt 2))
Var gelu_tanh(const Var& x);  ///< the tanh form
Var silu(const Var& x);       ///< x sigmoid(x)
Var hardswish(const Var& x);
Var hardsigmoid(const Var& x);  ///< clamp(x + 3, 0, 6) / 6
Var sigmoid(const Var& x);
Var tanh(const Var& x);
Var softplus(const Var& x);
/// First half times the sigmoid of the second half along `axis`; its extent must be even.
Var glu(const Var& x, int axis = -1);

}  // namespace lathe
