#pragma once
// Weights in exchange with PyTorch: its names, which are ours, and its layouts, which are not.

#include <filesystem>
#include <span>
#include <vector>

#include "core/safetensors.h"
#include "layers/module.h"

namespace lathe {

/// Raw parameters and buffers under their paths, convolutions as (out, in / groups, k...). A tied parameter
/// stands at each of its names, as in PyTorch, and fairseq's models have its marks
/// (train/published_layouts.h). Host tensors; those whose layout is the same share storage
/// with the model.
std::vector<NamedTensor> to_pytorch(const Module& model);

/// The reverse: fills the whole model, and leaves it untouched on failure. Numbers are converted to the
/// model's element type.
///
/// Other libraries' names are understood (train/published_names.h, train/published_layouts.h).
/// "num_batches_tracked" beside running statistics is not needed and left out. One of a tied parameter's
/// names is enough; if there are more, they must agree. A tensor of another shape is what Model::fitted makes
/// of it. FormatError, naming `source` and every missing, unexpected or misshapen tensor, the first eight
/// with shapes.
void from_pytorch(Module& model, std::span<const NamedTensor> tensors, const std::string& source);

/// The same with a safetensors file, written atomically. What was exported imports with the same bits.
void export_weights(const Module& model, const std::filesystem::path& path);
void import_weights(Module& model, const std::filesystem::path& path);

}  // namespace lathe
