#pragma once
// Change of the sample rate by a fraction, by windowed-sinc interpolation (J. O. Smith; as julius has it).

#include "autograd/var.h"

namespace lathe {

/// Filters of a change by to / from, in lowest terms: (to, 2 width + from) f32, one row a phase; computed in
/// float32. 24 zero crossings, roll-off 0.945 of the lower Nyquist frequency, each row sums to 1.
Tensor resample_filters(int64_t from, int64_t to);

/// x (N, T, C), T >= 1, at rate `from` -> (N, floor(to T / from), C) at rate `to`; the ends are repeated
/// outwards. x itself where the rates are the same.
Var resample(const Var& x, int64_t from, int64_t to);
/// Without repeated ends: only what the filters see whole, (N, to (floor((T - K) / from) + 1), C) for filters
/// (to, K). Its sample 0 stands at x's sample (K - from) / 2.
Var resample_valid(const Var& x, const Tensor& filters, int64_t from);
/// The same as resample() with given filters; `from` and `to` in lowest terms.
Var resample_with(const Var& x, const Tensor& filters, int64_t from);

}  // namespace lathe
