#include "train/stored_cost.h"

#include <algorithm>

#include "quant/order.h"

namespace lathe {
namespace {

StoredTensorCost cost_of(const Codes& codes) {
  StoredTensorCost cost{.elements = codes.integers.numel(), .quantized = true, .bits = 0};
  const Tensor weights = decode(codes);
  const float* w = weights.ptr<float>();
  const uint8_t* bits = codes.bits.ptr<uint8_t>();
  const int64_t length = codes.bits.numel() == 1 || codes.group == 0 ? cost.elements : codes.group;
  const GroupOrder order(codes.shape(), codes.pytorch_order);
  int64_t all = 0, nonzero = 0;
  for (int64_t i = 0; i < cost.elements; ++i) {
    const int64_t width = bits[i / length];
    all += width;
    if (w[order.index(i)] == 0) {
      ++cost.zeros;
    } else {
      nonzero += width;
    }
  }
  const auto numel = static_cast<double>(std::max<int64_t>(1, cost.elements));
  cost.bits = static_cast<double>(all) / numel;
  cost.nonzero_bits = static_cast<double>(nonzero) / numel;
  return cost;
}

StoredTensorCost cost_of(const Tensor& tensor) {
  return {.elements = tensor.numel(), .bits = 32, .nonzero_bits = 32};
}

/// Of a layer with these widths, or of the same one dense in 32 bits.
double layer_bops(Bops convention, const StoredLayerCost& row, bool dense) {
  LayerCost cost{.macs = row.layer.macs, .fan_in = row.fan_in};
  if (!dense) {
    cost.activation_bits = row.activation_bits;
    cost.weight_bits = row.weight.bits;
    const bool product_of_nonzero = convention == Bops::Sparse || convention == Bops::PsQs;
    cost.density = product_of_nonzero && row.weight.bits > 0 ? row.weight.nonzero_bits / row.weight.bits : 1;
  }
  return bops(convention, cost);
}

}  // namespace

StoredCost stored_cost(const PackedModel& packed, const ModelInfo& info,
                       const std::map<std::string, double>& activations) {
  StoredCost cost;
  double bits = 0, zeros = 0;
  for (const PackedTensor& tensor : packed.tensors) {
    const StoredTensorCost one =
        std::visit([](const auto& content) { return cost_of(content); }, tensor.content);
    if (one.quantized) {
      cost.quantized_elements += one.elements;
      bits += one.bits * static_cast<double>(one.elements);
      zeros += static_cast<double>(one.zeros);
    }
    cost.tensors.emplace(tensor.name, one);
  }
  if (cost.quantized_elements > 0) {
    cost.avg_bits = bits / static_cast<double>(cost.quantized_elements);
    cost.sparsity = zeros / static_cast<double>(cost.quantized_elements);
  }
  std::map<std::string, const ParameterInfo*> parameters;
  for (const ParameterInfo& parameter : info.parameters) parameters[parameter.name] = &parameter;

  std::array<double, kBopsConventions.size()> dense{};
  for (const LayerInfo& layer : info.layers) {
    StoredLayerCost row{.layer = layer, .weight = {.elements = 0, .bits = 32, .nonzero_bits = 32}};
    if (const auto found = activations.find(layer.name); found != activations.end())
      row.activation_bits = found->second;
    if (const auto found = parameters.find(layer.name + ".weight"); found != parameters.end()) {
      const ParameterInfo& weight = *found->second;
      const auto stored = cost.tensors.find(weight.tied_to.empty() ? weight.name : weight.tied_to);
      if (stored != cost.tensors.end()) row.weight = stored->second;
      row.fan_in = std::max<int64_t>(1, weight.numel / std::max<int64_t>(1, weight.shape[0]));
    }
    for (size_t i = 0; i < kBopsConventions.size(); ++i) {
      row.bops[i] = layer_bops(kBopsConventions[i], row, false);
      cost.bops[i] += row.bops[i];
      dense[i] += layer_bops(kBopsConventions[i], row, true);
    }
    cost.macs += layer.macs;
    cost.layers.push_back(std::move(row));
  }
  for (size_t i = 0; i < dense.size(); ++i)
    cost.relative_bops[i] = dense[i] > 0 ? cost.bops[i] / dense[i] : 0;
  return cost;
}

Value by_convention(const std::array<double, kBopsConventions.size()>& values) {
  Value out = Value::object();
  for (size_t i = 0; i < values.size(); ++i)
    out.set(std::string(to_string(kBopsConventions[i])), Value::real(values[i]));
  return out;
}

}  // namespace lathe
