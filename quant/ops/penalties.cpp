#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "quant/ops/check.h"
#include "quant/ops/rows.h"

namespace lathe {

Var oscillation_penalty(const Var& w, const Var& w_hat) {
  return mean(sub(square(w_hat), square(w)));
}

Var dampening_penalty(const Var& w, const Var& w_hat, const Var& step, const kernels::LsqGrid& grid,
                      Dampening kind) {
  check_parameter("dampening_penalty", "step", step.data(), w.data(), grid.group);
  const int64_t groups = step.data().numel(), group = groups == 1 ? 0 : grid.group;
  const Var steps = reshape(step, {groups, 1}), rows = in_rows(w, group);
  const Var clipped = minimum(maximum(rows, scale(steps, grid.lo)), scale(steps, grid.hi));
  const Var total = sum(square(sub(clipped, in_rows(w_hat.detach(), group))));
  const double numel = static_cast<double>(w.data().numel());
  switch (kind) {
    case Dampening::Sum:
      return total;
    case Dampening::Mean:
      return scale(total, 1 / numel);
    case Dampening::KernelMean:
      return scale(total, static_cast<double>(w.dim(0)) / numel);
  }
  return total;
}

}  // namespace lathe
