#pragma once
// What a quantized network costs: bit operations under named conventions, and sizes by formula (methods.md
// section 14, metrics.md section 4). A size on disk is a file's, not a formula's.

#include <array>
#include <cstdint>
#include <string_view>

namespace lathe {

/// How bit operations are counted; every number is given with its convention.
enum class Bops : uint8_t {
  Mac,     ///< macs * weight bits * activation bits
  Uniq,    ///< macs * (b_w b_a + b_w + b_a + log2 fan_in), the accumulator included (UNIQ, Baskin et al.)
  PsQs,    ///< the same, sparsity on the product only (Hawks et al.)
  Sparse,  ///< macs * density * b_w * b_a
};
std::string_view to_string(Bops convention);
inline constexpr std::array kBopsConventions = {Bops::Mac, Bops::Uniq, Bops::PsQs, Bops::Sparse};

/// A layer that multiplies.
struct LayerCost {
  int64_t macs = 0;
  double weight_bits = 32;      ///< averaged over elements where widths differ
  double activation_bits = 32;  ///< of its input
  double density = 1;           ///< share of weights that are not 0
  int64_t fan_in = 1;
};
double bops(Bops convention, const LayerCost& layer);

/// Of a convolution whose channels are partly zero: the MACs that are left (Bayesian Bits, DJPQ).
double structured_macs(int64_t macs, double zero_inputs, double zero_outputs);

/// Bits of codes with one scale (LSQ), and with a range (minmax).
constexpr int64_t scaled_size_bits(int64_t numel, int bits) {
  return numel * bits + 32;
}
constexpr int64_t ranged_size_bits(int64_t numel, int bits) {
  return numel * bits + 64;
}
/// Parameters in float32, in units of 2^20 bytes.
constexpr double float_mebibytes(int64_t parameters) {
  return static_cast<double>(parameters) * 4 / (1 << 20);
}

}  // namespace lathe
