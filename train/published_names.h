#pragma once
// Names under which other libraries publish weights of our models.

#include <span>
#include <vector>

#include "core/safetensors.h"

namespace lathe {

/// Vision transformers as Hugging Face's transformers names them ("vit.encoder.layer.0..." and "deit..."):
/// under timm's names, which are ours, with query, key and value stacked to one tensor. Tensors of other
/// names, and those whose partners are missing or of other shapes, stay as they are.
std::vector<NamedTensor> with_our_names(std::span<const NamedTensor> tensors);

/// What all names begin with and no model's do: "module." (data parallel training), "model.", "state_dict."
/// (keys of checkpoints), "_orig_mod." (compiled models), in any order; empty where there is none.
std::string_view wrapper_prefix(std::span<const NamedTensor> tensors);

}  // namespace lathe
