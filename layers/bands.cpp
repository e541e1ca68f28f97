#include "layers/bands.h"

#include <algorithm>
#include <cmath>

#include "core/batch.h"
#include "core/error.h"

namespace lathe {
namespace {

Tensor indices(const std::vector<int64_t>& values, Device device) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())}).to(device);
}

Tensor unknown(int64_t n) {
  return Tensor::empty({n}, DType::I64, Device::meta());
}

/// Where nothing is known of the tokens: sums of 1 / rank are logarithms.
BandSplit expected_split(const Bands& bands, int64_t tokens, int64_t first) {
  BandSplit split;
  const double whole = std::log(static_cast<double>(bands.vocabulary()) + 1);
  for (int64_t b = 0; b < bands.count(); ++b) {
    const auto begin = static_cast<double>(bands.begin(b) + 1);
    const double share = std::log((begin + static_cast<double>(bands.size(b))) / begin) / whole;
    const auto n = b < first ? 0 : static_cast<int64_t>(std::ceil(static_cast<double>(tokens) * share));
    split.places.push_back(unknown(std::min(n, tokens)));
    split.ids.push_back(unknown(std::min(n, tokens)));
  }
  split.rows = unknown(tokens);
  return split;
}

BandSplit split_from(const Bands& bands, const Tensor& tokens, Device device, int64_t first) {
  if (tokens.device() == Device::meta()) return expected_split(bands, tokens.numel(), first);
  const auto count = static_cast<size_t>(bands.count());
  std::vector<std::vector<int64_t>> places(count), ids(count);
  const std::span<const int64_t> all = tokens.span<int64_t>();
  for (size_t i = 0; i < all.size(); ++i) {
    if (first > 0 && all[i] == kUnscored) continue;
    const int64_t band = bands.of(all[i]);
    if (band < first) continue;
    places[static_cast<size_t>(band)].push_back(static_cast<int64_t>(i));
    ids[static_cast<size_t>(band)].push_back(all[i] - bands.begin(band));
  }
  std::vector<int64_t> rows(all.size(), 0);
  int64_t next = first > 0 ? 1 : 0;
  for (const std::vector<int64_t>& band : places) {
    for (const int64_t place : band) rows[static_cast<size_t>(place)] = next++;
  }
  BandSplit split;
  for (size_t b = 0; b < count; ++b) {
    split.places.push_back(indices(places[b], device));
    split.ids.push_back(indices(ids[b], device));
  }
  split.rows = indices(rows, device);
  return split;
}

}  // namespace

Bands::Bands(std::vector<int64_t> cutoffs, int64_t vocabulary) : ends_(std::move(cutoffs)) {
  LATHE_CHECK(ConfigError, !ends_.empty(), "bands: there is no cutoff, expected at least one");
  ends_.push_back(vocabulary);
  int64_t previous = 0;
  for (const int64_t end : ends_) {
    LATHE_CHECK(ConfigError, end > previous, "bands: a band that ends at ", end, " after ", previous,
                "; cutoffs rise and stay below the vocabulary's size, ", vocabulary);
    previous = end;
  }
}

int64_t Bands::of(int64_t token) const {
  LATHE_CHECK(ShapeError, token >= 0 && token < vocabulary(), "bands: token ", token, " in a vocabulary of ",
              vocabulary());
  return std::upper_bound(ends_.begin(), ends_.end(), token) - ends_.begin();
}

BandSplit split_bands(const Bands& bands, const Tensor& tokens, Device device) {
  return split_from(bands, tokens, device, 0);
}

BandSplit split_tail_bands(const Bands& bands, const Tensor& tokens, Device device) {
  return split_from(bands, tokens, device, 1);
}

}  // namespace lathe
