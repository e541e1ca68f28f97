#include <cmath>

#include "core/kernels/elementwise.h"
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
  Tensor unit = step.data().empty_like(), slope = unit.empty_like();
  kernels::dq_unit(unit, slope, step.data());
  return record("dq_unit", unit, {step}, Saved{slope},
                [](Backward& b) { kernels::binary(b.dx(0), b.dy(), b.saved(0), BinaryOp::Mul); });
}

Var dq_whole_range(const Var& step, const Var& range) {
  Tensor y = range.data().empty_like();
  kernels::dq_whole_range(y, step.data(), range.data());
  return record("dq_whole_range", y, {range}, {}, [](Backward& b) { b.pass(0, b.dy()); });
}

Var dq_size(const Var& step, const Var& range, int64_t numel, const kernels::DqShape& shape) {
  Tensor y = range.data().empty_like({1});
  Tensor slopes = Tensor::empty({2}, DType::F64, y.device());
  kernels::dq_size(y, slopes, step.data(), range.data(), numel, shape);
  return record("dq_size", y, {step, range}, Saved{slopes}, [](Backward& b) {
    Tensor none;
    kernels::dq_size_backward(b.wants(0) ? b.dx(0) : none, b.wants(1) ? b.dx(1) : none, b.dy(), b.saved(0));
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
