#pragma once
// What a model costs as it is stored: widths, zeros and bit operations of each tensor and each layer.

#include <array>
#include <map>
#include <string>
#include <vector>

#include "quant/accounting.h"
#include "quant/pack/packed_model.h"
#include "train/model_info.h"

namespace lathe {

struct StoredTensorCost {
  int64_t elements = 0;
  bool quantized = false;
  double bits = 32;         ///< of an element, averaged; a float has 32
  double nonzero_bits = 0;  ///< bits of the elements that are not 0, over all elements
  int64_t zeros = 0;        ///< elements that decode to exactly 0
  double sparsity() const {
    return elements == 0 ? 0 : static_cast<double>(zeros) / static_cast<double>(elements);
  }
};

/// A layer that multiplies. One whose weight is no parameter (attention) counts 32 bits, dense.
struct StoredLayerCost {
  LayerInfo layer;
  StoredTensorCost weight;
  int64_t fan_in = 1;
  double activation_bits = 32;                         ///< of its input
  std::array<double, kBopsConventions.size()> bops{};  ///< by convention, in the order of kBopsConventions
};

struct StoredCost {
  std::map<std::string, StoredTensorCost> tensors;  ///< parameters and buffers by name
  std::vector<StoredLayerCost> layers;              ///< in the order they ran; all of them count
  int64_t macs = 0;
  std::array<double, kBopsConventions.size()> bops{};
  std::array<double, kBopsConventions.size()> relative_bops{};  ///< to the same layers dense at 32 x 32 bits
  int64_t quantized_elements = 0;
  double avg_bits = 0;  ///< of quantized elements
  double sparsity = 0;  ///< share of quantized elements that is 0
};

/// `info` is of the model that `packed` holds; `activations`: bits of layers' inputs by the layer's name, 32
/// where they are not there.
StoredCost stored_cost(const PackedModel& packed, const ModelInfo& info,
                       const std::map<std::string, double>& activations);

/// {"mac": ..., "sparse": ...}: a number for each convention.
Value by_convention(const std::array<double, kBopsConventions.size()>& values);

}  // namespace lathe
