#include <algorithm>
#include <cmath>
#include <vector>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "quant/ops/check.h"

namespace lathe {
namespace {

struct Widths {
  Tensor bits, unit, dbits, dunit;
};

Widths widths_of(const Tensor& logits, const kernels::DiffqWidths& options) {
  LATHE_CHECK(
      ConfigError, options.min_bits > 0 && options.min_bits < options.max_bits && options.max_bits <= 15,
      "diffq: expected 0 < min_bits < max_bits <= 15, found ", options.min_bits, " and ", options.max_bits);
  Widths w{logits.empty_like(), logits.empty_like(), logits.empty_like(), logits.empty_like()};
  kernels::diffq_widths(w.bits, w.unit, w.dbits, w.dunit, logits, options);
  return w;
}

Var record_elementwise(const char* op, const Tensor& y, const Var& x, const Tensor& derivative) {
  return record(op, y, {x}, Saved{derivative},
                [](Backward& b) { b.pass(0, mul(Var(b.dy()), Var(b.saved(0))).data()); });
}

}  // namespace

Var diffq_bits(const Var& logits, const kernels::DiffqWidths& options) {
  const Widths w = widths_of(logits.data(), options);
  return record_elementwise("diffq_bits", w.bits, logits, w.dbits);
}

Var diffq_unit(const Var& logits, const kernels::DiffqWidths& options) {
  const Widths w = widths_of(logits.data(), options);
  return record_elementwise("diffq_unit", w.unit, logits, w.dunit);
}

Tensor diffq_whole_bits(const Tensor& logits, const kernels::DiffqWidths& options, double extra) {
  const Tensor bits = widths_of(logits, options).bits.to(Device::cpu()).to(DType::F64);
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
  const quant::Groups groups(numel, group);
  const int64_t count = groups.count();
  LATHE_CHECK(ShapeError, bits.data().numel() == count, "diffq_size: ", bits.data().numel(), " widths for ",
              count, " groups");
  std::vector<double> sizes(static_cast<size_t>(count), static_cast<double>(groups.size));
  sizes.back() = static_cast<double>(numel - (count - 1) * groups.size);
  const Tensor host = bits.data().to(Device::cpu()).to(DType::F64);
  const double most = *std::max_element(host.ptr<double>(), host.ptr<double>() + count);
  const double to_tell = std::ceil(std::log2(1 + std::rint(most) - min_bits));
  const Var weights(Tensor::from(sizes, bits.shape()).to(bits.dtype()).to(bits.data().device()));
  return add_scalar(sum(mul(add_scalar(bits, extra), weights)),
                    kRangeBits + kWidthBits + to_tell * static_cast<double>(count));
}

Var diffq_noise(const Var& w, const Var& unit, const kernels::NoiseSource& noise, int64_t group,
                bool through_range) {
  constexpr const char* kOp = "diffq_noise";
  check_parameter(kOp, "unit", unit.data(), w.data(), group);
  const GroupRange range = group_range(w.data(), 0, kOp);
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
