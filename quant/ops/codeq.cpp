#include <cmath>

#include "autograd/ops/optional.h"
#include "quant/ops/check.h"

namespace lathe {
namespace {

constexpr const char* kOp = "codeq_quantize";
constexpr double kQuantile = 0.99;
constexpr int64_t kGridSize = 6;

void check_shape(const Tensor& bits, const kernels::CodeqShape& shape) {
  if (bits.defined()) {
    LATHE_CHECK(ConfigError, shape.min_bits >= 2 && shape.min_bits < shape.max_bits && shape.max_bits <= 15,
                kOp, ": expected 2 <= min_bits < max_bits <= 15, found ", shape.min_bits, " and ",
                shape.max_bits);
  } else {
    check_bits(kOp, static_cast<int>(shape.fixed_bits), 2, 15);
  }
}

void refuse_nan(const Tensor& amplitude) {
  LATHE_CHECK(DivergedError, !std::isnan(amplitude.to(DType::F64).item()), kOp,
              ": a value is NaN or infinite");
}

}  // namespace

Tensor codeq_grid(const Tensor& w, const Tensor& dead_zone, const Tensor& bits,
                  const kernels::CodeqShape& shape) {
  check_shape(bits, shape);
  check_values(kOp, w);
  LATHE_CHECK(ShapeError, dead_zone.numel() == 1 && (!bits.defined() || bits.numel() == 1), kOp,
              ": logits have one element each");
  Tensor amplitude = w.empty_like({1}), grid = w.empty_like({kGridSize});
  const bool on_host = w.device().type == DeviceType::Cpu;
  const GroupRange range = on_host ? GroupRange() : group_range(w, 0, kOp);
  kernels::magnitude_quantile(amplitude, w, range.lo, range.hi, kQuantile);
  if (on_host) refuse_nan(amplitude);
  kernels::codeq_grid(grid, amplitude, dead_zone, bits, shape);
  return grid;
}

Var codeq_quantize(const Var& w, const Var& dead_zone, const Var& bits, const kernels::CodeqShape& shape) {
  const Tensor width = data_or_none(bits);
  const Tensor grid = codeq_grid(w.data(), dead_zone.data(), width, shape);
  Tensor y = w.data().empty_like();
  kernels::codeq_quantize(y, w.data(), grid);
  Saved saved{w.data(), grid, dead_zone.data()};
  if (width.defined()) saved.push_back(width);
  return record(
      kOp, y, {w, dead_zone, bits}, std::move(saved), [shape, mixed = width.defined()](Backward& b) {
        Tensor none, dw = b.wants(0) ? gradient_in_place(b) : none;
        kernels::codeq_backward(dw, b.wants(1) ? b.dx(1) : none, mixed && b.wants(2) ? b.dx(2) : none, b.dy(),
                                b.saved(0), b.saved(1), b.saved(2), mixed ? b.saved(3) : none, shape);
        if (dw.defined()) b.pass(0, std::move(dw));
      });
}

}  // namespace lathe
