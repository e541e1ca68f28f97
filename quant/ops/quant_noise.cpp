#include "quant/ops/check.h"

namespace lathe {

Var scalar_quant_noise(const Var& w, const Tensor& scale, const Tensor& zero, int bits,
                       const kernels::MaskSource& mask, int64_t group) {
  constexpr const char* kOp = "scalar_quant_noise";
  check_bits(kOp, bits, 1, 15);
  check_parameter(kOp, "scale", scale, w.data(), group);
  check_parameter(kOp, "zero", zero, w.data(), group);
  const double levels = (1 << bits) - 1;
  Tensor y = w.data().empty_like();
  kernels::scalar_noise(y, w.data(), scale, zero, levels, mask, group);
  return record(kOp, y, {w}, Saved{w.data(), scale, zero}, [levels, group](Backward& b) {
    kernels::scalar_noise_backward(b.dx(0), b.dy(), b.saved(0), b.saved(1), b.saved(2), levels, group);
  });
}

Var block_quant_noise(const Var& w, const kernels::MaskSource& mask, const kernels::BlockShape& blocks) {
  constexpr const char* kOp = "block_quant_noise";
  LATHE_CHECK(ConfigError, mask.p >= 0 && mask.p < 1, kOp, ": expected p in [0, 1), found ", mask.p);
  LATHE_CHECK(ShapeError, w.data().numel() % (blocks.taps * blocks.in) == 0, kOp, ": ", w.shape(),
              " is not made of rows of ", blocks.taps, " x ", blocks.in);
  Tensor y = w.data().empty_like();
  kernels::block_noise(y, w.data(), mask, blocks);
  return record(kOp, y, {w}, {},
                [mask, blocks](Backward& b) { kernels::block_noise(b.dx(0), b.dy(), mask, blocks); });
}

Var zero_point_quantize(const Var& x, const Var& step, const Var& zero, int bits) {
  constexpr const char* kOp = "zero_point_quantize";
  check_bits(kOp, bits, 1, 15);
  LATHE_CHECK(ShapeError, step.data().numel() == 1 && zero.data().numel() == 1, kOp,
              ": step and zero have one element each");
  const double levels = (1 << bits) - 1;
  Tensor y = x.data().empty_like();
  kernels::zero_point_quantize(y, x.data(), step.data(), zero.data(), levels);
  return record(kOp, y, {x, step, zero}, Saved{x.data(), step.data(), zero.data()}, [levels](Backward& b) {
    Tensor none;
    kernels::zero_point_backward(b.wants(0) ? b.dx(0) : none, b.wants(1) ? b.dx(1) : none,
                                 b.wants(2) ? b.dx(2) : none, b.dy(), b.saved(0), b.saved(1), b.saved(2),
                                 levels);
  });
}

}  // namespace lathe
