#include "quant/summary.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace lathe {
namespace {

// Beyond these shares a figure is worth a sentence.
constexpr double kNearlyAll = 0.99, kMany = 0.05;

void count_widths(QuantRow& row, const Codes& codes) {
  const int64_t group = codes.group > 0 ? codes.group : row.elements;
  const uint8_t* bits = codes.bits.ptr<uint8_t>();
  if (codes.bits.numel() == 1) {
    row.elements_of_bits[bits[0]] = row.elements;
  } else {
    for (int64_t g = 0; g < codes.bits.numel(); ++g)
      row.elements_of_bits[bits[g]] += std::min(group, row.elements - g * group);
  }
  double sum = 0;
  for (size_t width = 0; width < row.elements_of_bits.size(); ++width)
    sum += static_cast<double>(width) * static_cast<double>(row.elements_of_bits[width]);
  row.avg_bits = sum / static_cast<double>(row.elements);
}

QuantRow row_of(const Quantizer& quantizer) {
  const Codes codes = quantizer.encode(quantizer.parameter().raw().data());
  const Tensor weights = decode(codes);
  QuantRow row{.parameter = quantizer.parameter().path(),
               .method = quantizer.method(),
               .elements = weights.numel(),
               .oscillations = quantizer.oscillations(kOscillationCutoff)};
  if (row.elements == 0) return row;
  const double elements = static_cast<double>(row.elements);
  const auto w = weights.span<float>();
  count_widths(row, codes);
  row.sparsity = static_cast<double>(std::count(w.begin(), w.end(), 0.0f)) / elements;
  const Quantizer::Limits limits = quantizer.limits();
  if (codes.scale.defined() && limits.least_scale > 0) {
    const auto scales = codes.scale.span<float>();
    const auto at_floor = [&](float scale) { return scale <= limits.least_scale; };
    row.scales_at_floor = static_cast<double>(std::count_if(scales.begin(), scales.end(), at_floor)) /
                          static_cast<double>(scales.size());
  }
  const auto share = [&](int bits) {
    return bits == 0 ? 0 : static_cast<double>(row.elements_of_bits[static_cast<size_t>(bits)]) / elements;
  };
  row.at_least_bits = share(limits.least_bits);
  row.at_most_bits = share(limits.most_bits);
  return row;
}

/// Rounded down, so that 100 % are all.
std::string per_cent(double share) {
  return concat(std::floor(share * 1000) / 10, " %");
}

void warn(const QuantRow& row, const Quantizer::Limits& limits, std::vector<std::string>& warnings) {
  const auto say = [&](const auto&... parts) { warnings.push_back(concat(row.parameter, ": ", parts...)); };
  if (row.sparsity >= kNearlyAll) say(per_cent(row.sparsity), " of its weights are zero");
  if (row.scales_at_floor > 0) say(per_cent(row.scales_at_floor), " of its scales are at their floor");
  if (row.at_least_bits >= kNearlyAll)
    say("its widths are pinned at the lower bound of ", limits.least_bits, " bits");
  if (row.at_most_bits >= kNearlyAll)
    say("its widths are pinned at the upper bound of ", limits.most_bits, " bits");
  if (row.oscillations && row.oscillations->oscillating >= kMany)
    say(per_cent(row.oscillations->oscillating), " of its weights oscillate");
}

}  // namespace

std::optional<QuantSummary> summarize_quantizers(const QuantDiagnosis& diagnosis) {
  QuantSummary summary;
  double bits = 0, zeros = 0, tracked = 0, oscillating = 0;
  for (const QuantRow& row : diagnosis.rows) {
    const double elements = static_cast<double>(row.elements);
    summary.elements += row.elements;
    bits += row.avg_bits * elements;
    zeros += row.sparsity * elements;
    if (!row.oscillations) continue;
    tracked += elements;
    oscillating += row.oscillations->oscillating * elements;
  }
  if (summary.elements == 0) return {};
  summary.avg_bits = bits / static_cast<double>(summary.elements);
  summary.sparsity = zeros / static_cast<double>(summary.elements);
  if (tracked > 0) summary.oscillating = oscillating / tracked;
  return summary;
}

QuantDiagnosis diagnose_quantizers(const Module& model) {
  QuantDiagnosis diagnosis;
  for (const Quantizer* quantizer : quantizers_of(model)) {
    diagnosis.rows.push_back(row_of(*quantizer));
    warn(diagnosis.rows.back(), quantizer->limits(), diagnosis.warnings);
  }
  return diagnosis;
}

Value to_value(const std::vector<QuantRow>& rows) {
  Value list = Value::array();
  for (const QuantRow& row : rows) {
    Value histogram = Value::object();
    for (size_t width = 0; width < row.elements_of_bits.size(); ++width) {
      if (row.elements_of_bits[width] > 0)
        histogram.set(std::to_string(width), Value::integer(row.elements_of_bits[width]));
    }
    Value value = Value::object({{"parameter", Value::string(row.parameter)},
                                 {"method", Value::string(row.method)},
                                 {"elements", Value::integer(row.elements)},
                                 {"avg_bits", Value::real(row.avg_bits)},
                                 {"bits_histogram", std::move(histogram)},
                                 {"sparsity", Value::real(row.sparsity)},
                                 {"scales_at_floor", Value::real(row.scales_at_floor)},
                                 {"at_least_bits", Value::real(row.at_least_bits)},
                                 {"at_most_bits", Value::real(row.at_most_bits)}});
    if (row.oscillations) {
      value.set("oscillating", Value::real(row.oscillations->oscillating));
      value.set("frozen", Value::real(row.oscillations->frozen));
    }
    list.push_back(std::move(value));
  }
  return list;
}

}  // namespace lathe
