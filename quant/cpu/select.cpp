#include "quant/cpu/select.h"

#include <bit>
#include <cmath>
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

/// Counting is an order of magnitude faster than sorting into bins, and most magnitudes are far below a high
/// quantile: halves of the largest one until enough magnitudes lie above, then halves of that interval until
/// few lie inside.
template <class T>
Interval start(const Magnitudes<T>& magnitudes, int64_t n, int64_t place, T largest) {
  constexpr int kHalvings = 3, kBisections = 6;
  constexpr int64_t kFew = 512;  // one in so many
  const uint64_t end = uint64_t{std::bit_cast<BitsOf<T>>(std::abs(largest))} + 1;
  Interval in{0, end, 0, n};
  T bound = std::abs(largest);  // no sign of zero
  for (int i = 0; i < kHalvings && in.least == 0; ++i) {
    bound /= 2;
    const uint64_t least = std::bit_cast<BitsOf<T>>(bound);
    const int64_t above = magnitudes.count_from(least);
    if (n - above <= place) in = {least, end - least, n - above, above};
  }
  for (int i = 0; i < kBisections && in.span > 1 && in.count > n / kFew; ++i) {
    const uint64_t half = in.span / 2;
    const int64_t below = n - magnitudes.count_from(in.least + half);
    if (below <= place) {
      in = {in.least + half, in.span - half, below, in.count - (below - in.below)};
    } else {
      in = {in.least, half, in.below, below - in.below};
    }
  }
  return in;
}

}  // namespace

template <class T>
std::pair<T, T> nth_magnitudes(const T* x, int64_t n, int64_t place, T largest) {
  Magnitudes<T> magnitudes(x, n);
  Interval at = start(magnitudes, n, place, largest);
  while (at.span > 1) at = magnitudes.narrowed(at, place);
  const auto value = [](uint64_t bits) { return std::bit_cast<T>(static_cast<BitsOf<T>>(bits)); };
  const T found = value(at.least);
  if (place + 1 >= n || place + 1 < at.below + at.count) return {found, found};
  return {found, value(magnitudes.least_above(at.least))};
}

template std::pair<float, float> nth_magnitudes(const float*, int64_t, int64_t, float);
template std::pair<double, double> nth_magnitudes(const double*, int64_t, int64_t, double);

}  // namespace lathe::quant
