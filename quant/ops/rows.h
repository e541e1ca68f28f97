#pragma once
// A tensor as rows of its groups. Internal to quant/ops/.

#include "autograd/ops/shape.h"
#include "quant/cpu/groups.h"

namespace lathe {

/// (groups, size): zeros fill a shorter last group.
inline Var in_rows(const Var& x, int64_t group) {
  const quant::Groups groups(x.data().numel(), group);
  const int64_t missing = groups.count() * groups.size - groups.numel;
  const Var flat = reshape(x, {groups.numel});
  return reshape(missing > 0 ? pad(flat, {.axis = 0, .after = missing}) : flat,
                 {groups.count(), groups.size});
}

inline Var from_rows(const Var& rows, const Shape& shape) {
  return reshape(slice(reshape(rows, {rows.data().numel()}), 0, 0, shape.numel()), shape);
}

}  // namespace lathe
