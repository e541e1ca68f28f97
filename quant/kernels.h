#pragma once
// Quantizers' kernels. Tensors of values and parameters share one dtype (f32 or f64) unless said otherwise.
// `group`: consecutive elements with one parameter, 0 for all; a parameter tensor has one element or one per
// group. The formulas are those of quant/math/.

#include "core/dispatch.h"
#include "core/philox.h"

namespace lathe::kernels {

/// Smallest and largest element of each group; NaN where the group holds one or an infinity.
LATHE_KERNEL(group_range, Tensor& lo, Tensor& hi, const Tensor& w, int64_t group);

/// y = the mean of |w| of each group.
LATHE_KERNEL(group_mean_magnitude, Tensor& y, const Tensor& w, int64_t group);

/// In place of a range [lo, hi] of each group the narrower one that a search finds
/// (quant/math/range_search.h). `symmetric`: lo = -hi.
LATHE_KERNEL(percentile_range, Tensor& lo, Tensor& hi, const Tensor& w, double percentile, bool symmetric,
             int64_t group);
LATHE_KERNEL(least_error_range, Tensor& lo, Tensor& hi, const Tensor& w, int bits, bool symmetric,
             int64_t group);

/// y = half_round_ste(x)
LATHE_KERNEL(round_to_half, Tensor& y, const Tensor& x);

/// y = minmax_value(w) over the ranges [lo, hi]; bits: u8.
LATHE_KERNEL(minmax_quantize, Tensor& y, const Tensor& w, const Tensor& lo, const Tensor& hi,
             const Tensor& bits, int64_t group);

/// scale = max(hi, -lo) / most
LATHE_KERNEL(absmax_scale, Tensor& scale, const Tensor& lo, const Tensor& hi, double most);
/// y = absmax_value(w), codes up to `most`.
LATHE_KERNEL(absmax_quantize, Tensor& y, const Tensor& w, const Tensor& scale, double most, int64_t group);
/// dw = dy + the share of the largest magnitudes, through which scale = max |w| / most depends on w; ties
/// share evenly.
LATHE_KERNEL(absmax_backward, Tensor& dw, const Tensor& dy, const Tensor& w, const Tensor& scale, double most,
             int64_t group);

/// Bounds of codes, and the factor on the gradients of step and offset.
struct LsqGrid {
  double lo = 0, hi = 0;
  double gradient_scale = 1;
  int64_t group = 0;
};
/// y = lsq_value(x); offset may be undefined (0).
LATHE_KERNEL(lsq_quantize, Tensor& y, const Tensor& x, const Tensor& step, const Tensor& offset,
             const LsqGrid& grid);
/// dx, dstep and doffset, each may be undefined. On the host dx may be dy.
LATHE_KERNEL(lsq_backward, Tensor& dx, Tensor& dstep, Tensor& doffset, const Tensor& dy, const Tensor& x,
             const Tensor& step, const Tensor& offset, const LsqGrid& grid);

struct DiffqWidths {
  double min_bits = 2, max_bits = 15;
  bool noise_parameter = false;  ///< the logit interpolates the noise's logarithm instead of the bits
};
/// Of each logit the continuous bits, or the noise's unit, and the derivative (quant::DiffqWidth).
LATHE_KERNEL(diffq_bits, Tensor& bits, Tensor& dbits, const Tensor& logits, const DiffqWidths& widths);
LATHE_KERNEL(diffq_unit, Tensor& unit, Tensor& dunit, const Tensor& logits, const DiffqWidths& widths);
struct DiffqSize {
  int64_t numel, group;
  double min_bits;  ///< widths are told apart from it on
  double constant;  ///< bits that depend on no width
};
/// y (one element) = the sum over all elements of their group's bits + the constant + for each group
/// ceil(log2(1 + round(largest bits) - min_bits)).
LATHE_KERNEL(diffq_size, Tensor& y, const Tensor& bits, const DiffqSize& size);
/// dbits = dy times the group's elements.
LATHE_KERNEL(diffq_size_backward, Tensor& dbits, const Tensor& dy, int64_t numel, int64_t group);

/// Noise of an element: given (then `given` is defined), or drawn from philox at the element's index.
struct NoiseSource {
  Philox philox;
  bool gaussian = true;  ///< half a normal, else uniform in [-1/2, 1/2)
  Tensor given = {};
};
/// y = w + (hi - lo) unit noise; unit per group, lo and hi one element.
LATHE_KERNEL(add_noise, Tensor& y, const Tensor& w, const Tensor& lo, const Tensor& hi, const Tensor& unit,
             const NoiseSource& noise, int64_t group);
/// dunit (per group), and dw = dy + the share of the smallest and largest elements, which the range depends
/// on; both may be undefined.
LATHE_KERNEL(add_noise_backward, Tensor& dw, Tensor& dunit, const Tensor& dy, const Tensor& w,
             const Tensor& lo, const Tensor& hi, const Tensor& unit, const NoiseSource& noise, int64_t group);

/// The q-quantile of |w|, linearly interpolated at q (n - 1) (methods.md section 4.2); one element; NaN where
/// w is not finite. [lo, hi] is w's range, which the host does without.
LATHE_KERNEL(magnitude_quantile, Tensor& y, const Tensor& w, const Tensor& lo, const Tensor& hi, double q);

struct CodeqShape {
  double min_bits = 2, max_bits = 8;
  double fixed_bits = 0;  ///< 0: from the bit logit
  double eps = 1e-8;
  double step_floor = 0;  ///< of the amplitude
  bool zero_weight_grad = false;
};
/// grid (6): amplitude, width, most, step, shift of quant::CodeqGrid, then the bits. dead_zone and bits are
/// logits of one element; bits is undefined for fixed bits.
LATHE_KERNEL(codeq_grid, Tensor& grid, const Tensor& amplitude, const Tensor& dead_zone, const Tensor& bits,
             const CodeqShape& shape);
LATHE_KERNEL(codeq_quantize, Tensor& y, const Tensor& w, const Tensor& grid);
/// dw, and the logits' gradients; each may be undefined. On the host dw may be dy.
LATHE_KERNEL(codeq_backward, Tensor& dw, Tensor& ddead_zone, Tensor& dbits, const Tensor& dy, const Tensor& w,
             const Tensor& grid, const Tensor& dead_zone, const Tensor& bits, const CodeqShape& shape);

/// Which form of DQ, and where codes end.
struct DqShape {
  bool power_of_two = true;  ///< as released; false: U3 of the paper
  bool is_signed = true;
};
/// step and range have one element.
LATHE_KERNEL(dq_quantize, Tensor& y, const Tensor& x, const Tensor& step, const Tensor& range,
             const DqShape& shape);
LATHE_KERNEL(dq_backward, Tensor& dx, Tensor& dstep, Tensor& drange, const Tensor& dy, const Tensor& x,
             const Tensor& step, const Tensor& range, const DqShape& shape);

/// Elements or blocks that are chosen with probability p: given (1 or 0), or drawn from philox at their
/// index.
struct MaskSource {
  Philox philox;
  double p = 0;
  Tensor given = {};
};
/// y = scalar_noise_value(w): chosen elements are quantized, the others stay float within the range. scale
/// and zero have one element or one per group.
LATHE_KERNEL(scalar_noise, Tensor& y, const Tensor& w, const Tensor& scale, const Tensor& zero, double levels,
             const MaskSource& mask, int64_t group);
LATHE_KERNEL(scalar_noise_backward, Tensor& dw, const Tensor& dy, const Tensor& w, const Tensor& scale,
             const Tensor& zero, double levels, int64_t group);

/// Blocks of a weight (out, taps, in): `width` consecutive inputs where taps is 1, else all taps of an (out,
/// in) pair.
struct BlockShape {
  int64_t taps = 1, in = 1, width = 8;
  LATHE_HD int64_t blocks_of_row() const { return taps > 1 ? in : (in + width - 1) / width; }
  LATHE_HD int64_t block(int64_t i) const {
    const int64_t out = i / (taps * in), c = i % in;
    return out * blocks_of_row() + (taps > 1 ? c : c / width);
  }
};
/// y = block_noise_value(x): chosen blocks are 0. Its own derivative: dw of dy.
LATHE_KERNEL(block_noise, Tensor& y, const Tensor& x, const MaskSource& mask, const BlockShape& blocks);

/// y = shifted_value(x); step and zero (float, before rounding) have one element.
LATHE_KERNEL(zero_point_quantize, Tensor& y, const Tensor& x, const Tensor& step, const Tensor& zero,
             double levels);
LATHE_KERNEL(zero_point_backward, Tensor& dx, Tensor& dstep, Tensor& dzero, const Tensor& dy, const Tensor& x,
             const Tensor& step, const Tensor& zero, double levels);

/// Codes as numbers: minmax_code, absmax_code, lsq_code without an offset, codeq_code, and dq_code or
/// dq_u3_whole_code.
LATHE_KERNEL(minmax_codes, Tensor& q, const Tensor& w, const Tensor& lo, const Tensor& hi, const Tensor& bits,
             int64_t group);
LATHE_KERNEL(absmax_codes, Tensor& q, const Tensor& w, const Tensor& scale, double most, int64_t group);
LATHE_KERNEL(lsq_codes, Tensor& q, const Tensor& x, const Tensor& step, const LsqGrid& grid);
LATHE_KERNEL(codeq_codes, Tensor& q, const Tensor& w, const Tensor& grid);
LATHE_KERNEL(dq_codes, Tensor& q, const Tensor& x, const Tensor& step, const Tensor& range,
             const DqShape& shape);

/// The history of a tensor's codes: a row of 6 for each, see quant::Oscillation.
LATHE_KERNEL(oscillation_step, Tensor& codes, Tensor& history, double momentum, double threshold);

// What methods compute from parameters and buffers of one element, or of one per group, without the host
// knowing them.

/// A running range that holds 0: running_bound of the least of lo and 0, and of the largest of hi and 0, in
/// place. One element each.
LATHE_KERNEL(follow_range, Tensor& running_lo, Tensor& running_hi, const Tensor& lo, const Tensor& hi,
             double keep);
/// step = level_step(lo, hi), zero = -lo / step
LATHE_KERNEL(range_levels, Tensor& step, Tensor& zero, const Tensor& lo, const Tensor& hi, double levels,
             double least);
/// zero_point_grid of each range.
LATHE_KERNEL(zero_point_grids, Tensor& scale, Tensor& zero, const Tensor& lo, const Tensor& hi,
             double levels);
/// unit = dq_power_step(step), slope = unit / step
LATHE_KERNEL(dq_unit, Tensor& unit, Tensor& slope, const Tensor& step);
/// y = dq_whole_range(step, range)
LATHE_KERNEL(dq_whole_range, Tensor& y, const Tensor& step, const Tensor& range);
/// y and the derivatives for step and range, slopes (2), f64, of quant::dq_size.
LATHE_KERNEL(dq_size, Tensor& y, Tensor& slopes, const Tensor& step, const Tensor& range, int64_t numel,
             const DqShape& shape);
/// dy times the slopes; each may be undefined.
LATHE_KERNEL(dq_size_backward, Tensor& dstep, Tensor& drange, const Tensor& dy, const Tensor& slopes);
/// dq_bounded in place.
LATHE_KERNEL(dq_bound, Tensor& step, Tensor& range, const DqShape& shape, double least_code,
             double most_code);
/// y = x clipped to [-step, step], the step rounded to f32.
LATHE_KERNEL(clip_to_step, Tensor& y, const Tensor& x, const Tensor& step);
/// gradient = 0 where `used` holds nothing but zeros, in place.
LATHE_KERNEL(drop_if_unused, Tensor& gradient, const Tensor& used);

/// alpha has one element.
LATHE_KERNEL(pact_quantize, Tensor& y, const Tensor& x, const Tensor& alpha, double levels);
LATHE_KERNEL(pact_backward, Tensor& dx, Tensor& dalpha, const Tensor& dy, const Tensor& x,
             const Tensor& alpha, double levels, bool residual);

}  // namespace lathe::kernels
