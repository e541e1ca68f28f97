#include "quant/summary.h"

#include <algorithm>

namespace lathe {
namespace {

/// Sum of the widths of all codes.
double width_sum(const Codes& codes) {
  const int64_t numel = codes.integers.numel(), group = codes.group > 0 ? codes.group : numel;
  const uint8_t* bits = codes.bits.ptr<uint8_t>();
  if (codes.bits.numel() == 1) return static_cast<double>(bits[0]) * static_cast<double>(numel);
  double sum = 0;
  for (int64_t g = 0; g < codes.bits.numel(); ++g)
    sum += static_cast<double>(bits[g]) * static_cast<double>(std::min(group, numel - g * group));
  return sum;
}

}  // namespace

std::optional<QuantSummary> summarize_quantizers(const Module& model) {
  QuantSummary summary;
  double bits = 0, zeros = 0;
  for (const Quantizer* quantizer : quantizers_of(model)) {
    const Codes codes = quantizer->encode(quantizer->parameter().raw().data());
    const Tensor weights = decode(codes);
    const float* w = weights.ptr<float>();
    summary.elements += weights.numel();
    bits += width_sum(codes);
    zeros += static_cast<double>(std::count(w, w + weights.numel(), 0.0f));
  }
  if (summary.elements == 0) return {};
  summary.avg_bits = bits / static_cast<double>(summary.elements);
  summary.sparsity = zeros / static_cast<double>(summary.elements);
  return summary;
}

}  // namespace lathe
