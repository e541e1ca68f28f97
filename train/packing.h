#pragma once
// A run's model as a packed file, and back.

#include <string>
#include <vector>

#include "data/dataset.h"
#include "layers/model.h"
#include "quant/pack/packed_model.h"

namespace lathe {

/// What a packed file says of its model besides the tensors; SavedRun reads it.
struct PackedHeader {
  std::string name;
  int64_t seed = 0;
  Value model, data, loss;  ///< sections; data is written without augmentation
  Value quant;              ///< section with all defaults; the rules for activations are written. Null: none
  Value input;              ///< describe_input() of the data it was trained on; null where unknown
  bool winograd = true;     ///< how it was evaluated, see TrainOptions
};
Value to_value(const PackedHeader& header);

/// {"shape": [H, W, C], "class_names": [...]} of one sample; of texts also "tokenizer".
Value describe_input(const DatasetInfo& info);

/// What evaluation computes with: codes of quantized parameters, the others, buffers and the grids of
/// activations as they are; tied ones once.
PackedModel pack_model(const Value& header, const Module& model);

/// Fills a model without quantizers of weights. FormatError naming the tensor when one is missing, unknown or
/// misshapen.
void load_packed(Module& model, const PackedModel& packed, const std::string& source);
void load_unpacked(Module& model, UnpackedModel unpacked, const std::string& source);

/// The parameters and buffers whose values in evaluation differ in any bit between two models of the same
/// architecture.
std::vector<std::string> differing_values(Model& a, Model& b);

}  // namespace lathe
