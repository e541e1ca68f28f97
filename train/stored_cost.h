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

/// A layer that multiplies: by one weight, by several (LSTM, the adaptive softmax's head), or activations by
/// activations (attention, whose "weight" is the keys and the values). Widths are averages over its MACs.
struct StoredLayerCost {
  LayerInfo layer;
  StoredTensorCost weight;
  double activation_bits = 32;                               ///< of its input
  std::array<double, kBopsConventions.size()> bops{};        ///< in the order of kBopsConventions
  std::array<double, kBopsConventions.size()> dense_bops{};  ///< the same layer dense at 32 x 32 bits
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

/// `info` is of the model that `packed` holds; `activations`: activation_bits() of that model, 32 where a
/// site is not there.
StoredCost stored_cost(const PackedModel& packed, const ModelInfo& info,
                       const std::map<std::string, double>& activations);

/// {"mac": ..., "sparse": ...}: a number for each convention.
Value by_convention(const std::array<double, kBopsConventions.size()>& values);

}  // namespace lathe
