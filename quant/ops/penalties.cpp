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
  LATHE_CHECK(ShapeError, w.data().numel() % groups == 0, "dampening_penalty: ", w.data().numel(),
              " elements in ", groups, " groups of different sizes");
  const Var rows = reshape(w, {groups, w.data().numel() / groups}), steps = reshape(step, {groups, 1});
  const Var clipped = minimum(maximum(rows, scale(steps, grid.lo)), scale(steps, grid.hi));
  const Var total = sum(square(sub(clipped, reshape(w_hat.detach(), rows.shape()))));
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
