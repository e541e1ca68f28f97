#include <algorithm>
#include <cmath>

#include "core/kernels/elementwise.h"
#include "quant/ops/check.h"

namespace lathe {
namespace {

void check(const kernels::DiffqWidths& options) {
  LATHE_CHECK(
      ConfigError, options.min_bits > 0 && options.min_bits < options.max_bits && options.max_bits <= 15,
      "diffq: expected 0 < min_bits < max_bits <= 15, found ", options.min_bits, " and ", options.max_bits);
}

Var record_elementwise(const char* op, const Tensor& y, const Var& x, const Tensor& derivative) {
  return record(op, y, {x}, Saved{derivative},
                [](Backward& b) { kernels::binary(b.dx(0), b.dy(), b.saved(0), BinaryOp::Mul); });
}

}  // namespace

Var diffq_bits(const Var& logits, const kernels::DiffqWidths& options) {
  check(options);
  Tensor bits = logits.data().empty_like(), dbits = logits.data().empty_like();
  kernels::diffq_bits(bits, dbits, logits.data(), options);
  return record_elementwise("diffq_bits", bits, logits, dbits);
}

Var diffq_unit(const Var& logits, const kernels::DiffqWidths& options) {
  check(options);
  Tensor unit = logits.data().empty_like(), dunit = logits.data().empty_like();
  kernels::diffq_unit(unit, dunit, logits.data(), options);
  return record_elementwise("diffq_unit", unit, logits, dunit);
}

Tensor diffq_whole_bits(const Tensor& logits, const kernels::DiffqWidths& options, double extra) {
  const NoGrad no_grad;
  const Tensor bits = diffq_bits(Var(logits), options).data().to(Device::cpu()).to(DType::F64);
  Tensor whole = Tensor::empty(logits.shape(), DType::U8);
  uint8_t* out = whole.mut<uint8_t>();
  for (int64_t i = 0; i < whole.numel(); ++i)
    out[i] = static_cast<uint8_t>(std::clamp(std::rint(bits.ptr<double>()[i] + extra), 1.0, 15.0));
  return whole.to(logits.device());
}

double diffq_logit(double bits, const kernels::DiffqWidths& options) {
  LATHE_CHECK(ConfigError, options.min_bits < bits && bits < options.max_bits,
              "diffq: expected initial bits above ", options.min_bits, " and below ", options.max_bits,
              ", found ", bits);
  const auto noise = [](double b) { return -std::log(std::exp2(b) - 1); };
  const double t =
      options.noise_parameter
          ? (noise(bits) - noise(options.min_bits)) / (noise(options.max_bits) - noise(options.min_bits))
          : (bits - options.min_bits) / (options.max_bits - options.min_bits);
  return std::log(t / (1 - t));
}

Var diffq_size(const Var& bits, int64_t numel, int64_t group, double min_bits, double extra) {
  constexpr double kRangeBits = 64, kWidthBits = 8;
  const int64_t count = quant::Groups(numel, group).count();
  LATHE_CHECK(ShapeError, bits.data().numel() == count, "diffq_size: ", bits.data().numel(), " widths for ",
              count, " groups");
  Tensor size = bits.data().empty_like({1});
  kernels::diffq_size(size, bits.data(),
                      {numel, group, min_bits, kRangeBits + kWidthBits + extra * static_cast<double>(numel)});
  return record("diffq_size", size, {bits}, {},
                [numel, group](Backward& b) { kernels::diffq_size_backward(b.dx(0), b.dy(), numel, group); });
}

Var diffq_noise(const Var& w, const Var& unit, const kernels::NoiseSource& noise, int64_t group,
                bool through_range) {
  constexpr const char* kOp = "diffq_noise";
  check_parameter(kOp, "unit", unit.data(), w.data(), group);
  const GroupRange range = group_span(w.data(), 0, kOp);
  Tensor y = w.data().empty_like();
  kernels::add_noise(y, w.data(), range.lo, range.hi, unit.data(), noise, group);
  return record(kOp, y, {w, unit}, Saved{w.data(), range.lo, range.hi, unit.data()},
                [noise, group, through_range](Backward& b) {
                  Tensor none;
                  const bool ranged = b.wants(0) && through_range;
                  if (ranged || b.wants(1)) {
                    kernels::add_noise_backward(ranged ? b.dx(0) : none, b.wants(1) ? b.dx(1) : none, b.dy(),
                                                b.saved(0), b.saved(1), b.saved(2), b.saved(3), noise, group);
                  }
                  if (b.wants(0) && !through_range) b.pass(0, b.dy());
                });
}

}  // namespace lathe
