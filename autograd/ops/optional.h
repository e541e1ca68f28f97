#pragma once
// Arguments that may be undefined, for the ops themselves.

#include "autograd/var.h"

namespace lathe {

/// The value, undefined where `v` is.
inline Tensor data_or_none(const Var& v) {
  return v.defined() ? v.data() : Tensor();
}

}  // namespace lathe
