#pragma once
// Every model by its name in experiment files.

#include <memory>

#include "core/registry.h"
#include "layers/model.h"

namespace lathe {

using ModelRegistry = Registry<std::unique_ptr<Model>, const RootOptions&>;

/// The table; built once, never changed.
const ModelRegistry& model_registry();

/// Sample shape the model's defaults expect ("lathe info --model", dry runs), by registry name: (H, W, C) of
/// images, (T) of sequences of token ids, (T, channels) of sound.
Shape model_input_shape(std::string_view name);

}  // namespace lathe
