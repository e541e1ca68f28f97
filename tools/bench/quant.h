#pragma once
// What quantization costs a training step.

#include <cstdint>
#include <string>
#include <vector>

namespace lathe::bench {

struct QuantCost {
  std::string name;  ///< "float", "minmax 4", ...
  int64_t batch = 0;
  double ms_median = 0;  ///< of a step
  /// The median of (step / float step of the same round) - 1; 0 for "float" itself.
  double overhead = 0;
  /// Quantizers, regularisers and hooks alone, as a share of the float step and per weight; the median.
  double alone_share = 0, alone_ns_per_weight = 0;
  /// Tensor memory at a step's peak beyond float's, in sizes of the weights: 1 is the quantized copy.
  double extra_copies = 0;
};

/// Steps of `model` with each method, round by round (float, method 1, method 2, ..., float, ...), so that
/// all meet the same machine; methods whose name contains `filter`.
std::vector<QuantCost> bench_quant(const std::string& model, int64_t batch, int64_t rounds,
                                   const std::string& filter);

}  // namespace lathe::bench
