#include <cmath>
#include <limits>

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/optional.h"
#include "quant/ops/check.h"
#include "quant/ops/rows.h"

namespace lathe {

kernels::LsqGrid lsq_grid(int bits, bool is_signed, int64_t numel, int64_t group, bool scale_gradient) {
  check_bits("lsq_quantize", bits, is_signed ? 2 : 1, 15);
  kernels::LsqGrid grid;
  grid.lo = is_signed ? -(1 << (bits - 1)) : 0;
  grid.hi = (1 << (is_signed ? bits - 1 : bits)) - 1;
  grid.group = group;
  const double size = static_cast<double>(group > 0 ? std::min(group, numel) : numel);
  if (scale_gradient) grid.gradient_scale = 1 / std::sqrt(size * grid.hi);
  return grid;
}

Var lsq_quantize(const Var& x, const Var& step, const kernels::LsqGrid& grid) {
  return lsq_plus_quantize(x, step, Var(), grid);
}

Var lsq_plus_quantize(const Var& x, const Var& step, const Var& offset, const kernels::LsqGrid& grid) {
  const char* op = offset.defined() ? "lsq_plus_quantize" : "lsq_quantize";
  check_parameter(op, "step", step.data(), x.data(), grid.group);
  const Tensor shift = data_or_none(offset);
  if (shift.defined()) check_parameter(op, "offset", shift, x.data(), grid.group);
  Tensor y = x.data().empty_like();
  kernels::lsq_quantize(y, x.data(), step.data(), shift, grid);
  Saved saved{x.data(), step.data()};
  if (shift.defined()) saved.push_back(shift);
  return record(op, y, {x, step, offset}, std::move(saved), [grid, plus = shift.defined()](Backward& b) {
    Tensor none, dx = b.wants(0) ? gradient_in_place(b) : none;
    kernels::lsq_backward(dx, b.wants(1) ? b.dx(1) : none, plus && b.wants(2) ? b.dx(2) : none, b.dy(),
                          b.saved(0), b.saved(1), plus ? b.saved(2) : none, grid);
    if (dx.defined()) b.pass(0, std::move(dx));
  });
}

Var lsq_decode(const Tensor& codes, const Var& step, const kernels::LsqGrid& grid) {
  check_parameter("lsq_decode", "step", step.data(), codes, grid.group);
  const int64_t groups = step.data().numel();
  const Var scaled = record("lsq_decode", step.data(), {step}, {}, [g = grid.gradient_scale](Backward& b) {
    b.pass(0, scale(Var(b.dy()), g).data());
  });
  const Var rows = in_rows(Var(codes), groups == 1 ? 0 : grid.group);
  return from_rows(mul(reshape(scaled, {groups, 1}), rows), codes.shape());
}

namespace {

/// LSQ+'s first step of each group, from the population's deviation. Once a run: on the host.
Tensor deviation_step(const Tensor& w, int64_t group, int bits) {
  const Tensor values = w.to(Device::cpu()).to(DType::F64);
  const double* x = values.ptr<double>();
  const quant::Groups groups(w.numel(), group);
  Tensor step = Tensor::empty({groups.count()}, DType::F64);
  for (int64_t g = 0; g < groups.count(); ++g) {
    const int64_t first = g * groups.size, last = std::min(groups.numel, first + groups.size);
    const double count = static_cast<double>(last - first);
    double sum = 0, squares = 0;
    for (int64_t i = first; i < last; ++i) sum += x[i];
    const double mean = sum / count;
    for (int64_t i = first; i < last; ++i) squares += (x[i] - mean) * (x[i] - mean);
    step.mut<double>()[g] = (std::abs(mean) + 3 * std::sqrt(squares / count)) / std::exp2(bits - 1);
  }
  return step.to(w.dtype()).to(w.device());
}

}  // namespace

Tensor lsq_initial_step(const Tensor& w, int64_t group, int bits, LsqInit init) {
  constexpr double kLeast = 1e-8;
  check_values("lsq_initial_step", w);
  check_bits("lsq_initial_step", bits, 2, 15);
  const NoGrad no_grad;
  const auto at_least = [](const Var& step) {
    return clamp(step, kLeast, std::numeric_limits<double>::infinity()).data();
  };
  if (init == LsqInit::Plus) return at_least(Var(deviation_step(w, group, bits)));
  const double levels = std::exp2(bits - 1) - (init == LsqInit::Paper ? 1 : 0);
  Tensor mean = w.empty_like({group_count(w, group)});
  kernels::group_mean_magnitude(mean, w, group);
  return at_least(scale(Var(mean), 2 / std::sqrt(levels)));
}

}  // namespace lathe
