#pragma once
// Exact order statistics of magnitudes.

#include <cstdint>
#include <utility>

namespace lathe::quant {

/// The elements at `place` and place + 1 (the last again past the end) of the n > 0 sorted magnitudes |x|;
/// NaN where one of them is NaN or infinite. The same bits as sorting would give. Bits of floats order as the
/// floats do: a sample of x says between which two the element lies, one pass over x counts those below and
/// puts the few between aside, and these are counted in ever narrower intervals. Where a sample misleads or
/// too many are alike, a few passes over x count all of them in such intervals.
template <class T>
std::pair<T, T> nth_magnitudes(const T* x, int64_t n, int64_t place);

extern template std::pair<float, float> nth_magnitudes(const float*, int64_t, int64_t);
extern template std::pair<double, double> nth_magnitudes(const double*, int64_t, int64_t);

}  // namespace lathe::quant
