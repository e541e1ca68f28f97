#pragma once
#include "autograd/var.h"

namespace lathe {

Var softmax(const Var& x, int axis = -1);
Var log_softmax(const Var& x, int axis = -1);

}  // namespace lathe
