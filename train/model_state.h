#pragma once
#include <span>
#include <vector>

#include "core/safetensors.h"
#include "layers/model.h"
#include "layers/parameter.h"

namespace lathe {

/// Everything that a model's function depends on: raw parameters (tied ones once, under their owner's name)
/// and buffers, in the order of the module tree. Handles share storage with the model.
std::vector<NamedTensor> model_state(const Module& model);

/// Replaces a model's state by copies of `tensors`, which are converted to the model's element type and
/// device. FormatError, naming the tensor, when one is missing, unknown or misshapen; the model is unchanged
/// then. `source` is what messages call them.
void load_model_state(Module& model, std::span<const NamedTensor> tensors,
                      const std::string& source = "weights");

/// The same without the parameters and buffers of quantizers: what another run may start from, whatever it
/// quantizes.
std::vector<NamedTensor> weights_of(const Module& model);
void load_weights(Module& model, std::span<const NamedTensor> tensors, const std::string& source = "weights");

/// Replaces the named buffers by copies of `tensors`; FormatError when one is unknown or misshapen.
void load_buffers(Module& model, std::span<const NamedTensor> tensors, const std::string& source);

/// Parameters and buffers of activation quantizers, which evaluation needs as they are.
std::vector<NamedTensor> activation_state(const Module& model);
/// weights_of() and activation_state() in one list: what evaluation needs where no weight is quantized. The
/// model keeps the tensors themselves where they need no conversion: nobody else may write them.
void load_evaluated(Module& model, std::vector<NamedTensor> tensors, const std::string& source);

/// The parameters that own their tensors, in the order of the module tree.
std::vector<Parameter*> unique_parameters(const Module& model);

/// Elements of the unique parameters, those of quantizers left out.
int64_t parameter_count(const Module& model);

}  // namespace lathe
