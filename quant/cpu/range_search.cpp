#include "quant/math/range_search.h"

#include <cmath>
#include <vector>

#include "quant/cpu/groups.h"
#include "quant/kernels.h"

namespace lathe::kernels::cpu {
namespace {

using quant::Groups;

/// fn(group, first, last) for each group: many groups in parallel, one alone so that its own loops are.
template <class Fn>
void for_each_group(const Groups& groups, const Fn& fn) {
  parallel_for(groups.count(), std::max<int64_t>(1, quant::kPiece / groups.size), [&](int64_t a, int64_t b) {
    for (int64_t g = a; g < b; ++g) fn(g, g * groups.size, std::min(groups.numel, (g + 1) * groups.size));
  });
}

/// The q-quantile of `values`, linearly interpolated at q (n - 1).
template <class T>
T quantile(std::vector<T>& values, double q) {
  const double place = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const auto nth = values.begin() + static_cast<ptrdiff_t>(below);
  std::nth_element(values.begin(), nth, values.end());
  const T first = *nth;
  const T second = below + 1 < values.size() ? *std::min_element(nth + 1, values.end()) : first;
  return first + static_cast<T>(place - static_cast<double>(below)) * (second - first);
}

/// Sum of (value(w) - w)^2 over [lo, hi), in lanes of fixed places.
template <class T, class Value>
double piece_error(const T* w, int64_t lo, int64_t hi, const Value& value) {
  constexpr int64_t kLanes = 8;
  std::array<double, kLanes> lanes{};
  const auto add = [&](int64_t i, int64_t lane) {
    const double error = static_cast<double>(value(w[i])) - static_cast<double>(w[i]);
    lanes[static_cast<size_t>(lane)] += error * error;
  };
  int64_t i = lo;
  for (; i + kLanes <= hi; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) add(i + lane, lane);
  }
  for (; i < hi; ++i) add(i, 0);
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

/// The same over all elements, in pieces.
template <class T, class Value>
double squared_error(const T* w, int64_t numel, const Value& value) {
  if (numel <= quant::kPiece) return piece_error(w, 0, numel, value);
  std::vector<double> sums(static_cast<size_t>(chunk_count(numel, quant::kPiece)));
  parallel_for(numel, quant::kPiece, [&](int64_t lo, int64_t hi) {
    sums[static_cast<size_t>(lo / quant::kPiece)] = piece_error(w, lo, hi, value);
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

template <class T>
T symmetric_bound(const T* w, int64_t numel, T bound, T most) {
  const int best = quant::best_candidate([&](int k) {
    const T scale = quant::range_candidate(T(0), bound, k) / most;
    return squared_error(w, numel, [=](T x) { return quant::absmax_value(x, scale, most); });
  });
  return quant::range_candidate(T(0), bound, best);
}

/// Shrinks both ends together, then one end at a time.
template <class T>
void shrink_range(const T* w, int64_t numel, T levels, T& lo, T& hi) {
  const T anchor = quant::range_anchor(lo, hi), least = lo, most = hi;
  const auto error = [&](T a, T b) {
    return squared_error(w, numel, [=](T x) { return quant::minmax_value(x, levels, b - a, a); });
  };
  const auto lower = [&](int k) { return quant::range_candidate(anchor, least, k); };
  const auto upper = [&](int k) { return quant::range_candidate(anchor, most, k); };
  const int both = quant::best_candidate([&](int k) { return error(lower(k), upper(k)); });
  lo = lower(both);
  hi = upper(both);
  lo = lower(quant::best_candidate([&](int k) { return error(lower(k), hi); }));
  hi = upper(quant::best_candidate([&](int k) { return error(lo, upper(k)); }));
}

}  // namespace

void percentile_range(Tensor& lo, Tensor& hi, const Tensor& w, double percentile, bool symmetric,
                      int64_t group) {
  const double share = percentile / 100;
  dispatch_floating(w.dtype(), "percentile_range", [&]<class T>() {
    const T* in = w.ptr<T>();
    T* least = lo.mut<T>();
    T* most = hi.mut<T>();
    for_each_group(Groups(w.numel(), group), [&](int64_t g, int64_t first, int64_t last) {
      std::vector<T> values(in + first, in + last);
      if (symmetric) {
        for (T& value : values) value = std::abs(value);
      }
      const T high = quantile(values, share), low = symmetric ? -high : quantile(values, 1 - share);
      if (!(high > low)) return;  // but for a few outliers one value: their range
      least[g] = low;
      most[g] = high;
    });
  });
}

void least_error_range(Tensor& lo, Tensor& hi, const Tensor& w, int bits, bool symmetric, int64_t group) {
  dispatch_floating(w.dtype(), "least_error_range", [&]<class T>() {
    const T* in = w.ptr<T>();
    T* least = lo.mut<T>();
    T* most = hi.mut<T>();
    for_each_group(Groups(w.numel(), group), [&](int64_t g, int64_t first, int64_t last) {
      if (symmetric) {
        const T bound = std::max(most[g], -least[g]), codes = static_cast<T>((1 << (bits - 1)) - 1);
        most[g] = bound > T(0) ? symmetric_bound(in + first, last - first, bound, codes) : bound;
        least[g] = -most[g];
      } else if (most[g] > least[g]) {
        shrink_range(in + first, last - first, static_cast<T>((1 << bits) - 1), least[g], most[g]);
      }
    });
  });
}

}  // namespace lathe::kernels::cpu
