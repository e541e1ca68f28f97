#pragma once
// Elementwise arithmetic. Binary ops broadcast as NumPy does: trailing axes align, an extent of 1 stretches.
// All throw ShapeError when shapes do not broadcast and DTypeError when element types differ.

#include "autograd/var.h"

namespace lathe {

Var add(const Var& a, const Var& b);
Var sub(const Var& a, const Var& b);
Var mul(const Var& a, const Var& b);
Var div(const Var& a, const Var& b);
Var maximum(const Var& a, const Var& b);  ///< at a tie each side gets half of the gradient
Var minimum(const Var& a, const Var& b);  ///< likewise

/// x rounded to another floating type; its gradient is rounded back. x itself where the type is the same.
Var cast(const Var& x, DType dtype);
Var scale(const Var& x, double factor);
Var add_scalar(const Var& x, double offset);
Var neg(const Var& x);
Var exp(const Var& x);
Var log(const Var& x);
Var sqrt(const Var& x);
Var square(const Var& x);
Var abs(const Var& x);  ///< gradient 0 at 0
Var pow(const Var& x, double exponent);
Var clamp(const Var& x, double lo, double hi);  ///< gradient 1 inside the closed interval, 0 outside

}  // namespace lathe
