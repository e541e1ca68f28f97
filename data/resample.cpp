#include "data/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/error.h"

namespace lathe {
namespace {

constexpr int kFractionBits = 22;  // of a weight: 32 bits less 8 of a byte and 2 for sums beyond it

double triangle(double x) {
  x = std::abs(x);
  return x < 1 ? 1 - x : 0;
}

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

// Which inputs make an output, and with what weights.
struct Taps {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

// Outputs [begin, begin + count) of `size` made from `inputs`.
std::vector<Taps> taps_of(int64_t inputs, int64_t size, int64_t begin, int64_t count,
                          Interpolation interpolation) {
  const bool linear = interpolation == Interpolation::Bilinear;
  const double scale = static_cast<double>(inputs) / static_cast<double>(size), wide = std::max(scale, 1.0);
  const double support = (linear ? 1.0 : 2.0) * wide;
  std::vector<Taps> all(static_cast<size_t>(count));
  std::vector<double> weights;
  for (int64_t i = 0; i < count; ++i) {
    const double centre = (static_cast<double>(begin + i) + 0.5) * scale;
    const int64_t first = std::max<int64_t>(0, static_cast<int64_t>(centre - support + 0.5));
    const int64_t end = std::min(inputs, static_cast<int64_t>(centre + support + 0.5));
    weights.clear();
    double sum = 0;
    for (int64_t x = first; x < end; ++x) {
      const double at = (static_cast<double>(x) - centre + 0.5) * (1 / wide);
      weights.push_back(linear ? triangle(at) : cubic(at));
      sum += weights.back();
    }
    Taps& taps = all[static_cast<size_t>(i)];
    taps.first = first;
    for (const double weight : weights) {
      const double fixed = weight / sum * (1 << kFractionBits);
      taps.weights.push_back(static_cast<int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
  }
  return all;
}

uint8_t to_byte(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

constexpr int32_t kHalf = 1 << (kFractionBits - 1);

template <int64_t kChannels>
void across(const uint8_t* row, const std::vector<Taps>& taps, uint8_t* to) {
  for (const Taps& tap : taps) {
    int32_t sums[kChannels];
    std::fill_n(sums, kChannels, kHalf);
    const uint8_t* from = row + tap.first * kChannels;
    for (const int32_t weight : tap.weights) {
      for (int64_t c = 0; c < kChannels; ++c) sums[c] += weight * *from++;
    }
    for (int64_t c = 0; c < kChannels; ++c) *to++ = to_byte(sums[c]);
  }
}

// One row of the result from the rows that `tap` names, the first of which is rows' number 0.
void down(const uint8_t* rows, int64_t row_bytes, const Taps& tap, uint8_t* to, std::vector<int32_t>& sums) {
  sums.assign(static_cast<size_t>(row_bytes), kHalf);
  for (const int32_t weight : tap.weights) {
    for (int64_t i = 0; i < row_bytes; ++i) sums[static_cast<size_t>(i)] += weight * rows[i];
    rows += row_bytes;
  }
  for (int64_t i = 0; i < row_bytes; ++i) to[i] = to_byte(sums[static_cast<size_t>(i)]);
}

// Rounded to the nearest, halves to even numbers.
int64_t half_of(int64_t n) {
  return n % 4 == 3 ? n / 2 + 1 : n / 2;
}

}  // namespace

void resize(const PixelRect& from, const ScaledWindow& window, Interpolation interpolation,
            const ImageView<uint8_t>& to) {
  LATHE_ASSERT(from.channels == to.channels && (to.channels == 1 || to.channels == 3));
  LATHE_ASSERT(from.height > 0 && from.width > 0);
  LATHE_ASSERT(window.top >= 0 && window.top + to.height <= window.height);
  LATHE_ASSERT(window.left >= 0 && window.left + to.width <= window.width);
  const auto rows = taps_of(from.height, window.height, window.top, to.height, interpolation);
  const int64_t first = rows.front().first;
  const int64_t end = rows.back().first + static_cast<int64_t>(rows.back().weights.size());
  const int64_t row_bytes = to.row();

  std::vector<uint8_t> narrow;  // rows [first, end) scaled across
  narrow.resize(static_cast<size_t>((end - first) * row_bytes));
  if (from.width == window.width) {
    for (int64_t y = first; y < end; ++y) {
      std::memcpy(narrow.data() + (y - first) * row_bytes,
                  from.data + y * from.row_bytes + window.left * from.channels,
                  static_cast<size_t>(row_bytes));
    }
  } else {
    const auto columns = taps_of(from.width, window.width, window.left, to.width, interpolation);
    for (int64_t y = first; y < end; ++y) {
      const uint8_t* row = from.data + y * from.row_bytes;
      uint8_t* out = narrow.data() + (y - first) * row_bytes;
      to.channels == 1 ? across<1>(row, columns, out) : across<3>(row, columns, out);
    }
  }
  std::vector<int32_t> sums;
  for (int64_t y = 0; y < to.height; ++y) {
    const Taps& tap = rows[static_cast<size_t>(y)];
    const int64_t above = from.height == window.height ? window.top + y : tap.first;
    const uint8_t* source = narrow.data() + (above - first) * row_bytes;
    if (from.height == window.height) {
      std::memcpy(to.data + y * row_bytes, source, static_cast<size_t>(row_bytes));
    } else {
      down(source, row_bytes, tap, to.data + y * row_bytes, sums);
    }
  }
}

void CentreCrop::operator()(const PixelRect& from, const ImageView<uint8_t>& to) const {
  LATHE_ASSERT(to.height == to.width);
  const auto side = static_cast<int64_t>(std::floor(static_cast<double>(to.height) / crop_pct));
  const bool upright = from.width < from.height;
  const int64_t shorter = upright ? from.width : from.height, longer = upright ? from.height : from.width;
  const auto length = static_cast<int64_t>(static_cast<double>(side) * static_cast<double>(longer) /
                                           static_cast<double>(shorter));
  ScaledWindow window{.height = upright ? length : side, .width = upright ? side : length};
  window.top = half_of(window.height - to.height);
  window.left = half_of(window.width - to.width);
  resize(from, window, interpolation, to);
}

}  // namespace lathe
