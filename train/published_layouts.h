#pragma once
// Published weights whose names or layouts are not the models': what they are called here.

#include <span>
#include <vector>

#include "core/safetensors.h"
#include "layers/module.h"

namespace lathe {

/// The tensors under the model's names and in PyTorch's layouts; those of no known other origin as they are.
/// - GPT-2 of the transformers library: names without "transformer.", the weights of its Conv1D layers (in,
///   out), causal masks.
/// - fairseq's language models: buffers of versions and types; in older files q, k and v stacked as
///   "in_proj", norms named "layer_norms.0" and "layer_norms.1".
std::vector<NamedTensor> in_our_layout(const Module& model, std::span<const NamedTensor> tensors);

/// What the original's loader asks for beside the weights: fairseq's versions, without which it takes a file
/// for an older layout, and the tensors that carry its type. Empty for all other models.
std::vector<NamedTensor> marks_of_the_original(const Module& model);

}  // namespace lathe
