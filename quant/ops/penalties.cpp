#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "quant/ops/check.h"

namespace lathe {

Var oscillation_penalty(const Var& w, const Var& w_hat) {
  return mean(sub(square(w_hat), square(w)));
}

Var dampening_penalty(const Var& w, const Var& w_hat, const Var& step, const kernels::LsqGrid& grid,
                      Dampening kind) {
  check_parameter("dampening_penalty", "step", step.data(), w.data(), grid.group);
  const int64_t groups = step.data().numel();
  const int64_t size = groups == 1 ? w.data().numel() : quant::Groups(w.data().numel(), grid.group).size;
  const auto in_rows = [&](const Var& x) {  // zeros fill the last row: their penalty is 0
    const Var flat = reshape(x, {x.data().numel()});
    const int64_t missing = groups * size - x.data().numel();
    return reshape(missing > 0 ? pad(flat, {.axis = 0, .after = missing}) : flat, {groups, size});
  };
  const Var steps = reshape(step, {groups, 1});
  const Var clipped = minimum(maximum(in_rows(w), scale(steps, grid.lo)), scale(steps, grid.hi));
  const Var total = sum(square(sub(clipped, in_rows(w_hat.detach()))));
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
