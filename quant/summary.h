#pragma once
// A quantized model in figures.

#include <optional>

#include "quant/quantizer.h"

namespace lathe {

struct QuantSummary {
  int64_t elements = 0;  ///< of quantized parameters, tied ones once
  double avg_bits = 0;   ///< width of their codes, averaged over elements
  double sparsity = 0;   ///< share of them that is exactly 0 at evaluation
};

/// Of what evaluation multiplies with now; nothing where no parameter is quantized.
std::optional<QuantSummary> summarize_quantizers(const Module& model);

}  // namespace lathe
