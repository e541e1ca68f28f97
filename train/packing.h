#pragma once
// A run's model as a packed file, and back.

#include <string>
#include <vector>

#include "data/dataset.h"
#include "layers/model.h"
#include "quant/pack/packed_model.h"

namespace lathe {

/// What a packed file says of its model, and SavedRun reads: name, seed, the sections model, data (without
/// augmentation) and loss, and `input`: describe_input() of the data it was trained on, or null.
Value packed_header(const std::string& name, int64_t seed, const Value& model, const Value& data,
                    const Value& loss, const Value& input);

/// {"shape": [H, W, C], "class_names": [...]} of one sample.
Value describe_input(const DatasetInfo& info);

/// What evaluation multiplies with: codes of quantized parameters, the others and buffers as they are; tied
/// ones once.
PackedModel pack_model(const Value& header, const Module& model);

/// Fills a model without quantizers. FormatError naming the tensor when one is missing, unknown or misshapen.
void load_packed(Module& model, const PackedModel& packed, const std::string& source);

/// The parameters and buffers whose values in evaluation differ in any bit between two models of the same
/// architecture.
std::vector<std::string> differing_values(Model& a, Model& b);

}  // namespace lathe
