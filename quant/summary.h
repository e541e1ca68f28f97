#pragma once
// A quantized model in figures, and what looks wrong with it.

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "quant/quantizer.h"

namespace lathe {

struct QuantSummary {
  int64_t elements = 0;                    ///< of quantized parameters, tied ones once
  double avg_bits = 0;                     ///< width of their codes, averaged over elements
  double sparsity = 0;                     ///< share of them that is exactly 0 at evaluation
  std::optional<double> oscillating = {};  ///< share of tracked ones that oscillates, where any are tracked
};

/// Of one quantized parameter, as evaluation multiplies with it now. Shares are between 0 and 1.
struct QuantRow {
  std::string parameter, method;
  int64_t elements = 0;
  std::array<int64_t, kMostBits + 1> elements_of_bits =
      {};  ///< how many elements have codes of 0, 1, ... bits
  double avg_bits = 0;
  double sparsity = 0;
  double scales_at_floor = 0;                     ///< share of its scales that are as small as they can be
  double at_least_bits = 0, at_most_bits = 0;     ///< share of its elements, where widths are learned
  std::optional<Oscillations> oscillations = {};  ///< where codes are tracked
};

struct QuantDiagnosis {
  std::vector<QuantRow> rows;         ///< in the order of parameters
  std::vector<std::string> warnings;  ///< "layer1.0.conv1.weight: 99.4 % of its weights are zero"
};

/// A weight oscillates whose code turns back more often than this in a step, on average (Nagel et al. 2022).
inline constexpr double kOscillationCutoff = 0.005;

/// Of what evaluation multiplies with now.
QuantDiagnosis diagnose_quantizers(const Module& model);
/// Nothing where no parameter is quantized.
std::optional<QuantSummary> summarize_quantizers(const QuantDiagnosis& diagnosis);
/// A list of objects, a member for each figure; bits_histogram maps widths to elements.
Value to_value(const std::vector<QuantRow>& rows);

}  // namespace lathe
