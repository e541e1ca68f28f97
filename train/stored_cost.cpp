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

using Sites = std::map<std::string, double>;

/// One of the products that a layer's MACs are made of.
struct Product {
  double share = 1;  ///< of the layer's MACs
  StoredTensorCost weight = {.elements = 0, .bits = 32, .nonzero_bits = 32};
  int64_t fan_in = 1;
  double activation_bits = 32;
};

/// Of a product with these widths, or of the same one dense in 32 bits.
double product_bops(Bops convention, int64_t macs, const Product& product, bool dense) {
  LayerCost cost{.macs = macs, .fan_in = product.fan_in};
  if (!dense) {
    cost.activation_bits = product.activation_bits;
    cost.weight_bits = product.weight.bits;
    const bool product_of_nonzero = convention == Bops::Sparse || convention == Bops::PsQs;
    if (product_of_nonzero && product.weight.bits > 0)
      cost.density = product.weight.nonzero_bits / product.weight.bits;
  }
  return product.share * bops(convention, cost);
}

double bits_at(const Sites& sites, const std::string& site) {
  const auto found = sites.find(site);
  return found == sites.end() ? 32 : found->second;
}

/// Of what a weight is multiplied with: its module's input, an LSTM's input of the same level (what recurs
/// is float), or else the input of a module within the layer.
double input_bits(const Sites& sites, const std::string& layer, const std::string& weight) {
  const size_t dot = weight.rfind('.');
  const std::string module = weight.substr(0, dot), leaf = weight.substr(dot + 1);
  if (leaf.starts_with("weight_hh")) return 32;
  constexpr std::string_view kLstmInput = "weight_ih";
  if (leaf.starts_with(kLstmInput)) {
    const std::string level = leaf.substr(kLstmInput.size());  // "_l0_reverse"
    return bits_at(sites, module + ".input" + level.substr(0, level.find("_reverse")));
  }
  if (sites.contains(module + ".input")) return sites.at(module + ".input");
  const std::string within = layer + '.';
  for (auto site = sites.lower_bound(within); site != sites.end() && site->first.starts_with(within);
       ++site) {
    if (site->first.ends_with(".input")) return site->second;
  }
  return 32;
}

/// A layer's own weights meet its input as often, so MACs go by their elements.
std::vector<Product> products_of_weights(const std::string& layer,
                                         const std::vector<const ParameterInfo*>& weights,
                                         const StoredCost& cost, const Sites& sites) {
  int64_t all = 0;
  for (const ParameterInfo* weight : weights) all += weight->numel;
  std::vector<Product> products;
  for (const ParameterInfo* weight : weights) {
    Product one{.share = static_cast<double>(weight->numel) / static_cast<double>(std::max<int64_t>(1, all)),
                .fan_in = weight->fan_in,
                .activation_bits = input_bits(sites, layer, weight->name)};
    const auto stored = cost.tensors.find(weight->tied_to.empty() ? weight->name : weight->tied_to);
    if (stored != cost.tensors.end()) one.weight = stored->second;
    products.push_back(one);
  }
  return products;
}

/// Attention: queries times keys, then probabilities times values, as many MACs each.
std::vector<Product> products_of_activations(const std::string& layer, const Sites& sites) {
  const auto product = [&](const char* left, const char* right) {
    const double bits = bits_at(sites, layer + right);
    return Product{.share = 0.5,
                   .weight = {.elements = 0, .bits = bits, .nonzero_bits = bits},
                   .activation_bits = bits_at(sites, layer + left)};
  };
  return {product(".q", ".k"), product(".probabilities", ".v")};
}

/// Weights by the layer that multiplies with them: the nearest one around.
std::map<std::string, std::vector<const ParameterInfo*>> weights_by_layer(const ModelInfo& info) {
  std::map<std::string, std::vector<const ParameterInfo*>> weights;
  for (const LayerInfo& layer : info.layers) weights[layer.name];
  for (const ParameterInfo& parameter : info.parameters) {
    if (parameter.shape.rank() < 2 || parameter.kind == Kind::Bias || parameter.kind == Kind::Norm) continue;
    std::string module = parameter.name;
    while (!module.empty()) {
      const size_t dot = module.rfind('.');
      module.resize(dot == std::string::npos ? 0 : dot);
      const auto layer = weights.find(module);
      if (module.empty() || layer == weights.end()) continue;
      layer->second.push_back(&parameter);
      break;
    }
  }
  return weights;
}

StoredLayerCost layer_cost(const LayerInfo& layer, const std::vector<Product>& products) {
  StoredLayerCost row{.layer = layer, .weight = {.bits = 0}, .activation_bits = 0};
  for (const Product& one : products) {
    row.weight.elements += one.weight.elements;
    row.weight.zeros += one.weight.zeros;
    row.weight.quantized |= one.weight.quantized;
    row.weight.bits += one.share * one.weight.bits;
    row.weight.nonzero_bits += one.share * one.weight.nonzero_bits;
    row.activation_bits += one.share * one.activation_bits;
    for (size_t i = 0; i < kBopsConventions.size(); ++i) {
      row.bops[i] += product_bops(kBopsConventions[i], layer.macs, one, false);
      row.dense_bops[i] += product_bops(kBopsConventions[i], layer.macs, one, true);
    }
  }
  return row;
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
  const auto weights = weights_by_layer(info);
  std::array<double, kBopsConventions.size()> dense{};
  for (const LayerInfo& layer : info.layers) {
    const auto& own = weights.at(layer.name);
    cost.layers.push_back(layer_cost(layer, own.empty()
                                                ? products_of_activations(layer.name, activations)
                                                : products_of_weights(layer.name, own, cost, activations)));
    for (size_t i = 0; i < dense.size(); ++i) {
      cost.bops[i] += cost.layers.back().bops[i];
      dense[i] += cost.layers.back().dense_bops[i];
    }
    cost.macs += layer.macs;
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
