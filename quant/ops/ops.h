#pragma once
// Quantization as ops of the tape: a forward, and the backward that the method's authors define (methods'
// papers are named beside each). Values f32 or f64. `group`: consecutive elements with one parameter, 0 for
// all of them; a parameter Var has one element or one per group (the last group may be shorter).
// DivergedError naming the op where a range is needed of values that hold a NaN or an infinity, ShapeError
// for parameters that do not fit, ConfigError for widths that do not exist. On a CUDA device nobody waits to
// look: a range is NaN there, and so is what is made of it.

#include "autograd/var.h"
#include "quant/kernels.h"

namespace lathe {

/// Range [lo, hi] of each group: (groups) each. DivergedError.
struct GroupRange {
  Tensor lo, hi;
};
GroupRange group_range(const Tensor& w, int64_t group, const char* op);
/// The same where hi - lo is computed with: DivergedError also where that difference overflows.
GroupRange group_span(const Tensor& w, int64_t group, const char* op);

/// Where levels end: at the least and the largest value, at percentiles p and 100 - p of the values, or where
/// the squared error of rounding is least (quant/math/range_search.h; about 100 or 300 passes over the
/// tensor). What lies beyond saturates, straight-through. A group of one value keeps it.
struct RangeSearch {
  enum class Kind : uint8_t { MinMax, Percentile, LeastError };
  Kind kind = Kind::MinMax;
  double percentile = 99.9;
};
/// `symmetric`: lo = -hi where the search narrowed it.
GroupRange find_range(const Tensor& w, int bits, bool symmetric, int64_t group, const RangeSearch& search,
                      const char* op);

/// IEEE half precision, straight-through; DivergedError for magnitudes that round beyond 65504 (on a CUDA
/// device they are infinite). What is stored: the bits of each half.
Var half_quantize(const Var& w);
void check_half(const Tensor& w, const char* op);

/// DiffQ's QAT (eq. 1): levels over [min w, max w], straight-through. bits in 1..15.
Var minmax_quantize(const Var& w, int bits, int64_t group = 0, const RangeSearch& search = {});
/// The same with given ranges and a width (u8) for each group: what is stored of DiffQ. Not differentiable.
Tensor minmax_quantize(const Tensor& w, const GroupRange& range, const Tensor& bits, int64_t group);

/// Symmetric levels, scale = max |w| / (2^(bits-1) - 1). bits in 2..15. `through_scale`: the gradient also
/// flows through the largest magnitude, as in the oscillation regulariser's code (ConfigError with a search);
/// else straight-through.
Var absmax_quantize(const Var& w, int bits, int64_t group = 0, bool through_scale = false,
                    const RangeSearch& search = {});

/// LSQ (Esser et al. 2020): clip to [lo, hi], round, both in units of `step`.
Var lsq_quantize(const Var& x, const Var& step, const kernels::LsqGrid& grid);
/// LSQ+ (Bhalgat et al. 2020): the same around `offset`.
Var lsq_plus_quantize(const Var& x, const Var& step, const Var& offset, const kernels::LsqGrid& grid);
/// [-2^(bits-1), 2^(bits-1) - 1] or [0, 2^bits - 1], and g = 1 / sqrt(elements of a group * hi). bits >= 2
/// where signed.
kernels::LsqGrid lsq_grid(int bits, bool is_signed, int64_t numel, int64_t group = 0,
                          bool scale_gradient = true);

/// step * code for given codes: the gradient of the step is scaled as above.
Var lsq_decode(const Tensor& codes, const Var& step, const kernels::LsqGrid& grid);

enum class LsqInit : uint8_t {
  Paper,  ///< 2 mean |w| / sqrt(2^(bits-1) - 1)
  Diffq,  ///< 2 mean |w| / sqrt(2^(bits-1)), as DiffQ's library has it
  Plus,   ///< max(|mean - 3 deviations|, |mean + 3 deviations|) / 2^(bits-1): LSQ+, methods.md section 2.2
};
/// The first step of weights, one per group; at least 1e-8, which stands for a tensor of zeros.
Tensor lsq_initial_step(const Tensor& w, int64_t group, int bits, LsqInit init = LsqInit::Paper);

/// DiffQ's bits (methods.md section 3.1) and the unit of its noise, 1 / (2^bits - 1), of each logit.
Var diffq_bits(const Var& logits, const kernels::DiffqWidths& widths);
Var diffq_unit(const Var& logits, const kernels::DiffqWidths& widths);
/// Whole bits at evaluation: clip(round(b + extra), 1, 15), u8.
Tensor diffq_whole_bits(const Tensor& logits, const kernels::DiffqWidths& widths, double extra = 0);
/// The logit at which there are `bits`; ConfigError unless min_bits < bits < max_bits.
double diffq_logit(double bits, const kernels::DiffqWidths& widths);
/// DiffQ's size of a tensor of `numel` elements in bits (methods.md section 3.5): widths times elements, two
/// floats for the range, a byte, and the bits that tell the groups' widths apart, which are a constant to the
/// gradient. `bits` may be continuous (differentiable) or whole (then it is the true size of the paper's eq.
/// 12).
Var diffq_size(const Var& bits, int64_t numel, int64_t group, double min_bits, double extra = 0);
/// DiffQ (Defossez et al. 2022, eq. 5): w + (max w - min w) unit noise. `through_range`: the gradient also
/// flows through the range, as in the authors' code.
Var diffq_noise(const Var& w, const Var& unit, const kernels::NoiseSource& noise, int64_t group,
                bool through_range = true);

/// CoDeQ's dead-zone quantizer. dead_zone and bits are logits of one element; bits is undefined where
/// options.fixed_bits > 0.
Var codeq_quantize(const Var& w, const Var& dead_zone, const Var& bits, const kernels::CodeqShape& shape);
/// What its codes mean, see kernels::codeq_grid.
Tensor codeq_grid(const Tensor& w, const Tensor& dead_zone, const Tensor& bits,
                  const kernels::CodeqShape& shape);

/// DQ (Uhlich et al. 2020) with a learned step and range, one element each.
Var dq_quantize(const Var& x, const Var& step, const Var& range, const kernels::DqShape& shape);

/// Bits of its codes: ceil(log2(range / step + 1) + 1) for signed values, one less for unsigned ones.
double dq_bits(const Tensor& step, const Tensor& range, const kernels::DqShape& shape);

/// The step itself, or the power of two that it is rounded to, straight-through.
Var dq_unit(const Var& step, const kernels::DqShape& shape);
/// The nearest range that a code of the step stands for; gradient 1 for the range, none for the step.
Var dq_whole_range(const Var& step, const Var& range);
/// Bits of the codes of `numel` elements, straight-through for the roundings: dq_bits where the range is
/// whole.
Var dq_size(const Var& step, const Var& range, int64_t numel, const kernels::DqShape& shape);

/// PACT (Choi et al. 2018). `residual`: see quant::pact_gradients.
Var pact_quantize(const Var& x, const Var& alpha, int bits, bool residual = false);

/// Quant-Noise (Fan et al. 2021), methods.md section 6: elements that `mask` chooses take their quantized
/// value, scale (code - zero) with codes of `bits` bits; the others stay float within that range.
Var scalar_quant_noise(const Var& w, const Tensor& scale, const Tensor& zero, int bits,
                       const kernels::MaskSource& mask, int64_t group = 0);
/// Blocks that `mask` chooses are 0 and get no gradient, the others grow by 1 / (1 - p). p in [0, 1).
Var block_quant_noise(const Var& w, const kernels::MaskSource& mask, const kernels::BlockShape& blocks);

/// Nagel et al. 2022: a learned step and a learned zero point, which is rounded and clipped to the codes. One
/// element each.
Var zero_point_quantize(const Var& x, const Var& step, const Var& zero, int bits);

/// The oscillation-inducing regulariser (methods.md section 5.3), without its weight: mean(w_hat^2 - w^2).
Var oscillation_penalty(const Var& w, const Var& w_hat);

enum class Dampening : uint8_t {
  Sum,
  Mean,
  KernelMean
};  ///< KernelMean: sum over output channels of the mean
/// Dampening (Nagel et al. 2022), methods.md section 11: |w_hat - clip(w, lo step, hi step)|^2, w_hat a
/// constant.
Var dampening_penalty(const Var& w, const Var& w_hat, const Var& step, const kernels::LsqGrid& grid,
                      Dampening kind);

}  // namespace lathe
