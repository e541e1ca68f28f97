#pragma once
// Loops of quantizers, compiled per instruction set (quant/cpu/isa/). They call the formulas of quant/math/
// without contraction and write the order of additions out: every instruction set gives the same bits. Counts
// may be 0 unless said otherwise.

#include <cstdint>

#include "core/cpu/isa.h"
#include "quant/math/codeq.h"

namespace lathe {
struct Philox;
}

namespace lathe::cpu {

/// range[0], range[1]: the smallest and the largest of n > 0 elements, without the sign of a zero; NaN where
/// one is NaN or infinite.
LATHE_ISA_FUNCTION(void, value_range_f32, float* range, const float* x, int64_t n);
LATHE_ISA_FUNCTION(void, value_range_f64, double* range, const double* x, int64_t n);

/// y[i] = minmax_value(x[i])
LATHE_ISA_FUNCTION(void, minmax_f32, float* y, const float* x, int64_t n, float levels, float range,
                   float least);
LATHE_ISA_FUNCTION(void, minmax_f64, double* y, const double* x, int64_t n, double levels, double range,
                   double least);
/// y[i] = absmax_value(x[i])
LATHE_ISA_FUNCTION(void, absmax_f32, float* y, const float* x, int64_t n, float scale, float most);
LATHE_ISA_FUNCTION(void, absmax_f64, double* y, const double* x, int64_t n, double scale, double most);

template <class T>
struct LsqScalars {
  T step, offset, lo, hi;
};
/// y[i] = lsq_value(x[i])
LATHE_ISA_FUNCTION(void, lsq_f32, float* y, const float* x, int64_t n, const LsqScalars<float>& grid);
LATHE_ISA_FUNCTION(void, lsq_f64, double* y, const double* x, int64_t n, const LsqScalars<double>& grid);
/// dx (may be null, or dy), and the sums of dy times the derivatives for step and, if wanted, offset.
LATHE_ISA_FUNCTION(void, lsq_backward_f32, double* sums, float* dx, const float* dy, const float* x,
                   int64_t n, const LsqScalars<float>& grid, bool with_offset);
LATHE_ISA_FUNCTION(void, lsq_backward_f64, double* sums, double* dx, const double* dy, const double* x,
                   int64_t n, const LsqScalars<double>& grid, bool with_offset);

/// y[i] = codeq_value(x[i])
LATHE_ISA_FUNCTION(void, codeq_f32, float* y, const float* x, int64_t n, const quant::CodeqGrid<float>& grid);
LATHE_ISA_FUNCTION(void, codeq_f64, double* y, const double* x, int64_t n,
                   const quant::CodeqGrid<double>& grid);
/// dx (may be null, or dy; 0 where x is unless zero_too), and the sums of dy times codeq_gradients.
LATHE_ISA_FUNCTION(void, codeq_backward_f32, double* sums, float* dx, const float* dy, const float* x,
                   int64_t n, const quant::CodeqGrid<float>& grid, bool zero_too);
LATHE_ISA_FUNCTION(void, codeq_backward_f64, double* sums, double* dx, const double* dy, const double* x,
                   int64_t n, const quant::CodeqGrid<double>& grid, bool zero_too);

/// Magnitudes as integers: the bits of |x|, which order as |x| does. How many are at least `least`.
LATHE_ISA_FUNCTION(int64_t, magnitudes_from_f32, const float* x, int64_t n, uint64_t least);
LATHE_ISA_FUNCTION(int64_t, magnitudes_from_f64, const double* x, int64_t n, uint64_t least);
/// The least of them above `bound`, all ones if there is none.
LATHE_ISA_FUNCTION(uint64_t, magnitude_above_f32, const float* x, int64_t n, uint64_t bound);
LATHE_ISA_FUNCTION(uint64_t, magnitude_above_f64, const double* x, int64_t n, uint64_t bound);
/// Appends to `out`, which has room for `room` of them, the x[i] whose magnitude is in [least, least + span),
/// in order, adds to *below how many are under it, and *largest is the largest of all. Returns how many were
/// appended; -1: there was no room, nothing else is said.
LATHE_ISA_FUNCTION(int64_t, magnitudes_within_f32, float* out, int64_t room, int64_t* below,
                   uint64_t* largest, const float* x, int64_t n, uint64_t least, uint64_t span);
LATHE_ISA_FUNCTION(int64_t, magnitudes_within_f64, double* out, int64_t room, int64_t* below,
                   uint64_t* largest, const double* x, int64_t n, uint64_t least, uint64_t span);
/// ++counts[(m - least) >> shift] for each of them, m, in [least, least + span); the kSpareBins behind those
/// bins are written to as well. 0 < span < 2^31 (f32) or 2^63.
inline constexpr int kSpareBins = 8;
LATHE_ISA_FUNCTION(void, magnitude_bins_f32, uint32_t* counts, const float* x, int64_t n, uint64_t least,
                   uint64_t span, int shift);
LATHE_ISA_FUNCTION(void, magnitude_bins_f64, uint32_t* counts, const double* x, int64_t n, uint64_t least,
                   uint64_t span, int shift);

/// noise[0 .. 64 rows): normal (quant::diffq_normals) or uniform in [-1/2, 1/2), from row `first_row` on.
LATHE_ISA_FUNCTION(void, noise_rows, float* noise, const Philox& philox, bool gaussian, uint64_t first_row,
                   int64_t rows);

/// n elements in groups of `group`, beginning with element `first` of group 0.
struct GroupSpan {
  int64_t first, n, group;
};
/// y[i] = diffq_noisy(w[i], range, units[g unit_step] of its group g, noise[i])
LATHE_ISA_FUNCTION(void, add_noise_f32, float* y, const float* w, const float* noise, GroupSpan span,
                   float range, const float* units, int64_t unit_step);
LATHE_ISA_FUNCTION(void, add_noise_f64, double* y, const double* w, const double* noise, GroupSpan span,
                   double range, const double* units, int64_t unit_step);
/// sums[g] += the sum of dy[i] noise[i] over group g
LATHE_ISA_FUNCTION(void, noise_products_f32, double* sums, const float* dy, const float* noise,
                   GroupSpan span);
LATHE_ISA_FUNCTION(void, noise_products_f64, double* sums, const double* dy, const double* noise,
                   GroupSpan span);
/// counts[0] += how many are `least`, counts[1] += how many are `most`.
LATHE_ISA_FUNCTION(void, count_ends_f32, int64_t* counts, const float* x, int64_t n, float least, float most);
LATHE_ISA_FUNCTION(void, count_ends_f64, int64_t* counts, const double* x, int64_t n, double least,
                   double most);
/// dx[i] = dy[i] + (x[i] is most) up - (x[i] is least) down
LATHE_ISA_FUNCTION(void, add_ends_f32, float* dx, const float* dy, const float* x, int64_t n, float least,
                   float most, float down, float up);
LATHE_ISA_FUNCTION(void, add_ends_f64, double* dx, const double* dy, const double* x, int64_t n, double least,
                   double most, double down, double up);

/// Bits or units and their derivatives: diffq_width_of_bits, or of_noise, of each logit.
struct WidthsWanted {
  bool units, of_noise;
};
LATHE_ISA_FUNCTION(void, diffq_widths_f32, float* y, float* derivative, const float* logits, int64_t n,
                   float least, float most, WidthsWanted wanted);
LATHE_ISA_FUNCTION(void, diffq_widths_f64, double* y, double* derivative, const double* logits, int64_t n,
                   double least, double most, WidthsWanted wanted);

}  // namespace lathe::cpu
