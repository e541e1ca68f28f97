#include <cmath>

#include "autograd/ops/elementwise.h"
#include "quant/math/dq.h"
#include "quant/ops/check.h"

namespace lathe {

Var dq_quantize(const Var& x, const Var& step, const Var& range, const kernels::DqShape& shape) {
  constexpr const char* kOp = "dq_quantize";
  LATHE_CHECK(ShapeError, step.data().numel() == 1 && range.data().numel() == 1, kOp,
              ": step and range have one element each");
  Tensor y = x.data().empty_like();
  kernels::dq_quantize(y, x.data(), step.data(), range.data(), shape);
  return record(kOp, y, {x, step, range}, Saved{x.data(), step.data(), range.data()}, [shape](Backward& b) {
    Tensor none;
    kernels::dq_backward(b.wants(0) ? b.dx(0) : none, b.wants(1) ? b.dx(1) : none,
                         b.wants(2) ? b.dx(2) : none, b.dy(), b.saved(0), b.saved(1), b.saved(2), shape);
  });
}

double dq_bits(const Tensor& step, const Tensor& range, const kernels::DqShape& shape) {
  const double raw = step.to(DType::F64).item(), most = range.to(DType::F64).item();
  const double levels = shape.power_of_two ? quant::dq_most(quant::dq_power_step(raw), most) : most / raw;
  return quant::dq_width(levels, shape.is_signed ? 1.0 : 0.0, shape.is_signed ? 2.0 : 1.0);
}

Var dq_unit(const Var& step, const kernels::DqShape& shape) {
  if (!shape.power_of_two) return step;
  const double raw = step.data().item();
  const double unit = step.dtype() == DType::F32
                          ? static_cast<double>(quant::dq_power_step(static_cast<float>(raw)))
                          : quant::dq_power_step(raw);
  const Tensor y = Tensor::full(step.shape(), unit, step.dtype(), step.data().device());
  return record("dq_unit", y, {step}, {},
                [slope = unit / raw](Backward& b) { b.pass(0, scale(Var(b.dy()), slope).data()); });
}

Var dq_whole_range(const Var& step, const Var& range) {
  const double d = step.data().item(), most = range.data().item();
  const double whole = range.dtype() == DType::F32
                           ? quant::dq_whole_range(static_cast<float>(d), static_cast<float>(most))
                           : quant::dq_whole_range(d, most);
  const Tensor y = Tensor::full(range.shape(), whole, range.dtype(), range.data().device());
  return record("dq_whole_range", y, {range}, {}, [](Backward& b) { b.pass(0, b.dy()); });
}

Var dq_size(const Var& step, const Var& range, int64_t numel, const kernels::DqShape& shape) {
  const double raw = step.data().item(), limit = range.data().item(), count = static_cast<double>(numel);
  const double unit = shape.power_of_two ? quant::dq_power_step(raw) : raw;
  const double most = quant::dq_most(unit, limit), signs = shape.is_signed ? 1 : 0,
               least = shape.is_signed ? 2 : 1;
  const double slope = count * quant::dq_width_gradient(most, signs, least);
  const double dstep = slope * -limit / (unit * raw), drange = slope / unit;
  const auto one = [like = range.data()](double value) {
    return Tensor::full({1}, value, like.dtype(), like.device());
  };
  return record("dq_size", one(count * quant::dq_width(most, signs, least)), {step, range}, {},
                [one, dstep, drange](Backward& b) {
                  const double up = b.dy().item();
                  if (b.wants(0)) b.pass(0, one(up * dstep));
                  if (b.wants(1)) b.pass(1, one(up * drange));
                });
}

Var pact_quantize(const Var& x, const Var& alpha, int bits, bool residual) {
  constexpr const char* kOp = "pact_quantize";
  check_bits(kOp, bits, 1, 15);
  LATHE_CHECK(ShapeError, alpha.data().numel() == 1, kOp, ": alpha has one element");
  const double levels = (1 << bits) - 1;
  Tensor y = x.data().empty_like();
  kernels::pact_quantize(y, x.data(), alpha.data(), levels);
  return record(kOp, y, {x, alpha}, Saved{x.data(), alpha.data()}, [levels, residual](Backward& b) {
    Tensor none;
    kernels::pact_backward(b.wants(0) ? b.dx(0) : none, b.wants(1) ? b.dx(1) : none, b.dy(), b.saved(0),
                           b.saved(1), levels, residual);
  });
}

}  // namespace lathe
