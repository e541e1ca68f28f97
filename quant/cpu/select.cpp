#include "quant/cpu/select.h"

#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

#include "core/cpu/by_type.h"
#include "quant/cpu/groups.h"
#include "quant/cpu/isa_quant.h"

namespace lathe::quant {
namespace {

constexpr int kMostBinBits = 12;
constexpr int64_t kParts = 16;  // that count side by side, each with bins of its own

template <class T>
using BitsOf = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

/// Bits of magnitudes in [least, least + span): `count` of them, with `below` of them under it.
struct Interval {
  uint64_t least = 0, span = 0;
  int64_t below = 0, count = 0;
};

template <class T>
class Magnitudes {
 public:
  Magnitudes(const T* x, int64_t n)
      : x_(x),
        n_(n),
        grain_(std::max(kCheapPiece, chunk_count(n, kParts))),
        parts_(chunk_count(n, grain_)),
        bin_bits_(
            std::clamp(static_cast<int>(std::bit_width(static_cast<uint64_t>(n))) - 2, 6, kMostBinBits)) {}

  int64_t count_from(uint64_t least) const {
    std::array<int64_t, kParts> counts{};
    parallel_for(n_, grain_, [&](int64_t lo, int64_t hi) {
      counts[static_cast<size_t>(lo / grain_)] =
          cpu::by_type<T>(cpu::magnitudes_from_f32, cpu::magnitudes_from_f64)(x_ + lo, hi - lo, least);
    });
    int64_t total = 0;
    for (int64_t part = 0; part < parts_; ++part) total += counts[static_cast<size_t>(part)];
    return total;
  }

  uint64_t largest() const {
    std::array<uint64_t, kParts> most{};
    parallel_for(n_, grain_, [&](int64_t lo, int64_t hi) {
      BitsOf<T> bits = 0;
      for (int64_t i = lo; i < hi; ++i) bits = std::max(bits, std::bit_cast<BitsOf<T>>(std::abs(x_[i])));
      most[static_cast<size_t>(lo / grain_)] = bits;
    });
    return *std::max_element(most.begin(), most.end());
  }

  uint64_t least_above(uint64_t bound) const {
    std::array<uint64_t, kParts> least{};
    parallel_for(n_, grain_, [&](int64_t lo, int64_t hi) {
      least[static_cast<size_t>(lo / grain_)] =
          cpu::by_type<T>(cpu::magnitude_above_f32, cpu::magnitude_above_f64)(x_ + lo, hi - lo, bound);
    });
    return *std::min_element(least.begin(), least.begin() + parts_);
  }

  /// The part of the interval that holds the element at `place`: one bin.
  Interval narrowed(const Interval& in, int64_t place) {
    const int64_t row = (int64_t{1} << bin_bits_) + cpu::kSpareBins;
    if (!counts_.defined()) counts_ = Tensor::empty({parts_, row}, DType::I32);
    const int shift = std::max(0, static_cast<int>(std::bit_width(in.span - 1)) - bin_bits_);
    const auto bins = static_cast<int64_t>((in.span - 1) >> shift) + 1;
    auto* counts = reinterpret_cast<uint32_t*>(counts_.mut<int32_t>());
    parallel_for(n_, grain_, [&](int64_t lo, int64_t hi) {
      uint32_t* own = counts + lo / grain_ * row;
      std::fill(own, own + bins, 0u);
      cpu::by_type<T>(cpu::magnitude_bins_f32, cpu::magnitude_bins_f64)(own, x_ + lo, hi - lo, in.least,
                                                                        in.span, shift);
    });
    Interval out{in.least, uint64_t{1} << shift, in.below, 0};
    for (int64_t bin = 0;; ++bin) {
      LATHE_ASSERT(bin < bins);
      out.count = 0;
      for (int64_t part = 0; part < parts_; ++part) out.count += counts[part * row + bin];
      if (place < out.below + out.count) return out;
      out.below += out.count;
      out.least += out.span;
    }
  }

 private:
  const T* x_;
  int64_t n_, grain_, parts_;
  int bin_bits_;  // fewer bins than elements, else going through the bins would cost more
  Tensor counts_;
};

template <class T>
T value_of(uint64_t bits) {
  return std::bit_cast<T>(static_cast<BitsOf<T>>(bits));
}
/// Of the magnitude.
template <class T>
uint64_t bits_of(T value) {
  return std::bit_cast<BitsOf<T>>(std::abs(value));
}

/// The half of the interval that holds the element at `place`.
template <class T>
Interval halved(const Magnitudes<T>& magnitudes, int64_t n, const Interval& in, int64_t place) {
  const uint64_t half = in.span / 2;
  const int64_t below = n - magnitudes.count_from(in.least + half);
  if (below > place) return {in.least, half, in.below, below - in.below};
  return {in.least + half, in.span - half, below, in.count - (below - in.below)};
}

/// The element at `place` of n that fit a cache, by halves alone.
template <class T>
uint64_t nth_of_few(const Magnitudes<T>& magnitudes, int64_t n, Interval in, int64_t place) {
  while (in.span > 1 && in.count > 1) in = halved(magnitudes, n, in, place);
  return in.span > 1 ? magnitudes.least_above(in.least - 1) : in.least;
}

/// Counting is an order of magnitude faster than sorting into bins, and most magnitudes are far below a high
/// quantile: halves of the largest one until enough magnitudes lie above, then halves of that interval until
/// few lie inside.
template <class T>
Interval start(const Magnitudes<T>& magnitudes, int64_t n, int64_t place, T largest) {
  constexpr int kHalvings = 3, kBisections = 6;
  constexpr int64_t kFew = 512;  // one in so many
  const uint64_t end = bits_of(largest) + 1;
  Interval in{0, end, 0, n};
  T bound = largest;
  for (int i = 0; i < kHalvings && in.least == 0; ++i) {
    bound /= 2;
    const uint64_t least = bits_of(bound);
    const int64_t above = magnitudes.count_from(least);
    if (n - above <= place) in = {least, end - least, n - above, above};
  }
  for (int i = 0; i < kBisections && in.span > 1 && in.count > n / kFew; ++i)
    in = halved(magnitudes, n, in, place);
  return in;
}

/// Elements that are worth a sample: of fewer all are looked at until one is left.
constexpr int64_t kFewElements = 4096;

/// An interval that holds the element at `place` almost surely, from a sample at equal distances: the
/// sample's own elements three deviations of their rank to both sides of it. `end`: above all magnitudes.
template <class T>
Interval sampled(const T* x, int64_t n, int64_t place, uint64_t end) {
  constexpr int64_t kLeast = 1024, kMost = 4096, kOneIn = 32;
  const int64_t wanted = std::clamp(n / kOneIn, kLeast, kMost);
  const int64_t stride = (n / wanted - 1) | 1;  // odd: no axis of a power of two is seen at one place alone
  const int64_t count = n / stride;
  Tensor sample = Tensor::empty({count}, dtype_of<T>());
  T* values = sample.mut<T>();
  for (int64_t i = 0; i < count; ++i) values[i] = x[i * stride];
  const Magnitudes<T> magnitudes(values, count);
  const double share = (static_cast<double>(place) + 0.5) / static_cast<double>(n);
  const double rank = share * static_cast<double>(count),
               reach = 3 * std::sqrt(static_cast<double>(count) * share * (1 - share)) + 2;
  const auto first = static_cast<int64_t>(rank - reach), last = static_cast<int64_t>(rank + reach);
  const auto at = [&](int64_t of) { return nth_of_few(magnitudes, count, {0, end, 0, count}, of); };
  const uint64_t least = first < 0 ? 0 : at(first);
  return {least, (last >= count ? end : at(last) + 1) - least, 0, 0};
}

/// Those elements of x in an interval that a sample suggests, in memory of their own.
template <class T>
struct Candidates {
  Interval interval;
  bool fit = false;      ///< they had room; where not, nothing else is known
  uint64_t largest = 0;  ///< of all magnitudes
  Tensor values = {};    ///< undefined: the element at the place is not among them
};

template <class T>
Candidates<T> candidates(const T* x, int64_t n, int64_t place) {
  constexpr int64_t kOneIn = 8, kSpare = 64, kGrain = 1 << 14;
  Candidates<T> found{sampled(x, n, place, bits_of(std::numeric_limits<T>::infinity()))};
  const int64_t grain = std::max(kGrain, chunk_count(n, kParts)), parts = chunk_count(n, grain),
                room = grain / kOneIn + kSpare;
  Tensor scratch = Tensor::empty({std::min(n, parts * room) + kSpare}, dtype_of<T>());
  T* const values = scratch.mut<T>();
  std::array<int64_t, kParts> counts{}, below{};
  std::array<uint64_t, kParts> largest{};
  parallel_for(n, grain, [&](int64_t lo, int64_t hi) {
    const int64_t part = lo / grain, first = part * room, own = std::min(room, scratch.numel() - first);
    const auto at = static_cast<size_t>(part);
    counts[at] = cpu::by_type<T>(cpu::magnitudes_within_f32, cpu::magnitudes_within_f64)(
        values + first, own, &below[at], &largest[at], x + lo, hi - lo, found.interval.least,
        found.interval.span);
  });
  Interval& in = found.interval;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t count = counts[static_cast<size_t>(part)];
    if (count < 0) return found;
    std::copy_n(values + part * room, count, values + in.count);
    in.count += count;
    in.below += below[static_cast<size_t>(part)];
  }
  found.fit = true;
  found.largest = *std::max_element(largest.begin(), largest.end());
  if (in.below <= place && place < in.below + in.count) found.values = scratch.rows(0, in.count);
  return found;
}

/// The element at `place` and the next one; the interval's elements are `few`.
template <class T>
std::pair<T, T> nth_of_candidates(const Magnitudes<T>& all, const T* few, int64_t n, int64_t place,
                                  const Interval& interval) {
  const Magnitudes<T> magnitudes(few, interval.count);
  const int64_t own = place - interval.below;
  const uint64_t bits =
      nth_of_few(magnitudes, interval.count, {interval.least, interval.span, 0, interval.count}, own);
  const T found = value_of<T>(bits);
  const int64_t up_to = interval.below + interval.count - magnitudes.count_from(bits + 1);
  if (place + 1 >= n || place + 1 < up_to) return {found, found};
  const bool inside = place + 1 < interval.below + interval.count;
  return {found, value_of<T>((inside ? magnitudes : all).least_above(bits))};
}

/// The same by a few passes over all elements.
template <class T>
std::pair<T, T> nth_of_all(Magnitudes<T>& magnitudes, int64_t n, int64_t place, uint64_t largest) {
  Interval at = start(magnitudes, n, place, value_of<T>(largest));
  while (at.span > 1) at = magnitudes.narrowed(at, place);
  const T found = value_of<T>(at.least);
  if (place + 1 >= n || place + 1 < at.below + at.count) return {found, found};
  return {found, value_of<T>(magnitudes.least_above(at.least))};
}

}  // namespace

template <class T>
std::pair<T, T> nth_magnitudes(const T* x, int64_t n, int64_t place) {
  constexpr T kNone = std::numeric_limits<T>::quiet_NaN();
  const uint64_t infinite = bits_of(std::numeric_limits<T>::infinity());
  Magnitudes<T> magnitudes(x, n);
  Candidates<T> few;
  if (n > kFewElements) few = candidates<T>(x, n, place);
  const uint64_t largest = few.fit ? few.largest : magnitudes.largest();
  if (largest >= infinite) return {kNone, kNone};
  if (n <= kFewElements) return nth_of_candidates(magnitudes, x, n, place, {0, largest + 1, 0, n});
  if (few.values.defined())
    return nth_of_candidates(magnitudes, few.values.template ptr<T>(), n, place, few.interval);
  return nth_of_all(magnitudes, n, place, largest);
}

template std::pair<float, float> nth_magnitudes(const float*, int64_t, int64_t);
template std::pair<double, double> nth_magnitudes(const double*, int64_t, int64_t);

}  // namespace lathe::quant
