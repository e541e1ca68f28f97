#include "cuda/quant/groups.cuh"
#include "cuda/quant/select.cuh"
#include "quant/kernels.h"
#include "quant/math/range_search.h"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;
using quant::kRangeCandidates;

/// A block for each group. A range of NaN stays.
template <class T>
__global__ void __launch_bounds__(1024)
    percentiles_of(GroupSpan s, T* lo, T* hi, const T* w, double share, bool symmetric) {
  __shared__ uint32_t counts[kBins];
  const int64_t g = blockIdx.x, n = s.end(g) - s.begin(g);
  const T* x = w + s.begin(g);
  const QuantilePlace upper(share, n), lower(1 - share, n);
  T low, high;
  if (symmetric) {
    high = upper.between(block_select<MagnitudeKey<T>>(x, n, upper.below, counts));
    low = -high;
  } else {
    high = upper.between(block_select<SignedKey<T>>(x, n, upper.below, counts));
    low = lower.between(block_select<SignedKey<T>>(x, n, lower.below, counts));
  }
  if (threadIdx.x != 0 || !(high > low) || lo[g] != lo[g]) return;
  lo[g] = low;
  hi[g] = high;
}

template <class T>
struct Ends {
  T lo, hi;
};

/// Shrinks both ends together, then one end at a time; a symmetric range's only together.
template <class T>
struct Search {
  bool symmetric;
  T most;  ///< codes or levels
  __device__ int phases() const { return symmetric ? 1 : 3; }

  __device__ Ends<T> whole(T lo, T hi) const {
    if (!symmetric) return {lo, hi};
    const T bound = hi < -lo ? -lo : hi;
    return {-bound, bound};
  }
  __device__ bool narrows(const Ends<T>& whole) const { return whole.hi > whole.lo; }
  __device__ Ends<T> candidate(int phase, int k, const Ends<T>& whole, const Ends<T>& now) const {
    if (symmetric) {
      const T bound = quant::range_candidate(T(0), whole.hi, k);
      return {-bound, bound};
    }
    const T anchor = quant::range_anchor(whole.lo, whole.hi);
    return {phase == 2 ? now.lo : quant::range_candidate(anchor, whole.lo, k),
            phase == 1 ? now.hi : quant::range_candidate(anchor, whole.hi, k)};
  }
  /// Sum over the elements [first, end) in steps of `step`.
  __device__ double error(const Ends<T>& range, const T* w, int64_t first, int64_t end, int64_t step) const {
    const T scale = range.hi / most, span = range.hi - range.lo;
    double sum = 0;
    for (int64_t i = first; i < end; i += step) {
      const T value = symmetric ? quant::absmax_value(w[i], scale, most)
                                : quant::minmax_value(w[i], most, span, range.lo);
      const double error = static_cast<double>(value) - static_cast<double>(w[i]);
      sum += error * error;
    }
    return sum;
  }
};

/// A warp for each group.
template <class T>
__global__ void search_small_groups(GroupSpan s, Search<T> search, T* lo, T* hi, const T* w) {
  const int lane = threadIdx.x % kWarp;
  for (int64_t g = thread_index() / kWarp; g < s.count; g += thread_count() / kWarp) {
    const Ends<T> whole = search.whole(lo[g], hi[g]);
    Ends<T> now = whole;
    for (int phase = 0; phase < search.phases() && search.narrows(whole); ++phase) {
      const int best = quant::best_candidate([&](int k) {
        const auto range = search.candidate(phase, k, whole, now);
        return warp_reduce<Sum>(search.error(range, w, s.begin(g) + lane, s.end(g), kWarp));
      });
      now = search.candidate(phase, best, whole, now);
    }
    __syncwarp();
    if (lane != 0) continue;
    lo[g] = now.lo;
    hi[g] = now.hi;
  }
}

/// A block for each candidate of each group. ranges: whole ones, then those of now.
template <class T>
__global__ void candidate_errors(GroupSpan s, Search<T> search, int phase, const Ends<T>* ranges, const T* w,
                                 double* errors) {
  const int64_t g = blockIdx.x / kRangeCandidates;
  const int k = static_cast<int>(blockIdx.x % kRangeCandidates) + 1;
  const Ends<T> whole = ranges[g], now = ranges[s.count + g];
  const auto range = search.candidate(phase, k, whole, now);
  const int64_t first = s.begin(g) + static_cast<int64_t>(threadIdx.x);
  const double error = block_reduce<Sum>(search.error(range, w, first, s.end(g), blockDim.x));
  if (threadIdx.x == 0) errors[blockIdx.x] = error;
}

template <class T>
__global__ void begin_search(GroupSpan s, Search<T> search, Ends<T>* ranges, const T* lo, const T* hi) {
  for (int64_t g = thread_index(); g < s.count; g += thread_count())
    ranges[g] = ranges[s.count + g] = search.whole(lo[g], hi[g]);
}

template <class T>
__global__ void pick_candidates(GroupSpan s, Search<T> search, int phase, Ends<T>* ranges, T* lo, T* hi,
                                const double* errors) {
  for (int64_t g = thread_index(); g < s.count; g += thread_count()) {
    Ends<T>& now = ranges[s.count + g];
    const Ends<T> whole = ranges[g];
    if (search.narrows(whole)) {
      const int best = quant::best_candidate([&](int k) { return errors[g * kRangeCandidates + k - 1]; });
      now = search.candidate(phase, best, whole, now);
    }
    lo[g] = now.lo;
    hi[g] = now.hi;
  }
}

template <class T>
void search_large_groups(const GroupSpan& s, const Search<T>& search, T* lo, T* hi, const T* w) {
  Tensor scratch = scratch_for<Ends<T>>(2 * s.count), sums = scratch_for<double>(s.count * kRangeCandidates);
  auto* ranges = scratch_ptr<Ends<T>>(scratch);
  auto* errors = scratch_ptr<double>(sums);
  launch(begin_search<T>, over(s.count), s, search, ranges, lo, hi);
  for (int phase = 0; phase < (search.symmetric ? 1 : 3); ++phase) {
    launch(candidate_errors<T>, block_each(s.count * kRangeCandidates, 512), s, search, phase, ranges, w,
           errors);
    launch(pick_candidates<T>, over(s.count), s, search, phase, ranges, lo, hi, errors);
  }
}

}  // namespace

void percentile_range(Tensor& lo, Tensor& hi, const Tensor& w, double percentile, bool symmetric,
                      int64_t group) {
  const GroupSpan s(w.numel(), group);
  dispatch_floating(w.dtype(), "percentile_range", [&]<class T>() {
    launch(percentiles_of<T>, block_each(s.count, s.size > kPieceLength ? 1024 : kBlock), s, lo.mut<T>(),
           hi.mut<T>(), w.ptr<T>(), percentile / 100, symmetric);
  });
}

void least_error_range(Tensor& lo, Tensor& hi, const Tensor& w, int bits, bool symmetric, int64_t group) {
  const GroupSpan s(w.numel(), group);
  dispatch_floating(w.dtype(), "least_error_range", [&]<class T>() {
    const Search<T> search{symmetric, static_cast<T>((1 << (symmetric ? bits - 1 : bits)) - 1)};
    if (s.size <= kSmallGroup) {
      launch(search_small_groups<T>, over(s.count * kWarp), s, search, lo.mut<T>(), hi.mut<T>(), w.ptr<T>());
    } else {
      search_large_groups(s, search, lo.mut<T>(), hi.mut<T>(), w.ptr<T>());
    }
  });
}

}  // namespace lathe::kernels::cuda
