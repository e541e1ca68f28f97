#pragma once
// A vocabulary in order of decreasing frequency, cut into bands that get less room the rarer their tokens
// are.

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/tensor.h"

namespace lathe {

/// Band b holds the tokens begin(b) .. end(b) - 1.
class Bands {
 public:
  /// ConfigError unless 0 < cutoffs[0] < cutoffs[1] < ... < vocabulary, with at least one cutoff.
  Bands(std::vector<int64_t> cutoffs, int64_t vocabulary);

  int64_t count() const { return static_cast<int64_t>(ends_.size()); }
  int64_t vocabulary() const { return ends_.back(); }
  int64_t begin(int64_t band) const { return band == 0 ? 0 : ends_[static_cast<size_t>(band) - 1]; }
  int64_t size(int64_t band) const { return ends_[static_cast<size_t>(band)] - begin(band); }
  int64_t of(int64_t token) const;  ///< ShapeError for a token outside the vocabulary

 private:
  std::vector<int64_t> ends_;
};

/// Places of a list of tokens by band. Of tokens without values (Device::meta()) each band is given the share
/// that word frequencies of 1 / rank (Zipf's law) have in it.
struct BandSplit {
  std::vector<Tensor> places;  ///< one per band: (n_b) i64 places in the list, rising
  std::vector<Tensor> ids;     ///< (n_b) i64 tokens, counted from their band's begin
  Tensor rows;  ///< (n) i64: where each place stands when the bands' places are laid end to end

  int64_t count(int64_t band) const { return places[static_cast<size_t>(band)].numel(); }
};

/// Of `tokens` (n) on the host or meta; the results stand on `device`.
BandSplit split_bands(const Bands& bands, const Tensor& tokens, Device device);

/// The same of the bands behind the first. Tokens of the first, and those that are kUnscored, are in none;
/// their row is 0, so that the bands' begin at 1.
BandSplit split_tail_bands(const Bands& bands, const Tensor& tokens, Device device);

}  // namespace lathe
