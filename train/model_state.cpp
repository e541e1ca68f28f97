#include "train/model_state.h"

#include <map>

#include "quant/activation.h"
#include "quant/quantizer.h"

namespace lathe {
namespace {

/// Whether a tensor that needs no conversion becomes the model's or is copied.
enum class Given { Copied, Kept };

Tensor fitted(const Tensor& tensor, const Tensor& like, const std::string& name, const std::string& source,
              Given given = Given::Copied) {
  LATHE_CHECK(FormatError, tensor.shape() == like.shape(), source, ": ", name, " has shape ", tensor.shape(),
              ", the model expects ", like.shape());
  const Tensor converted = tensor.to(like.dtype()).to(like.device());
  return given == Given::Copied && converted.shares_storage(tensor) ? tensor.clone() : converted;
}

std::vector<Parameter*> state_parameters(const Module& model, bool only_weights) {
  std::vector<Parameter*> parameters = unique_parameters(model);
  if (only_weights) std::erase_if(parameters, [](const Parameter* p) { return p->role() != Role::Weight; });
  return parameters;
}

std::vector<NamedTensor> tensors_of(const std::vector<Parameter*>& parameters,
                                    const std::vector<Buffer*>& buffers) {
  std::vector<NamedTensor> state;
  for (const Parameter* parameter : parameters) state.push_back({parameter->path(), parameter->raw().data()});
  for (const Buffer* buffer : buffers) state.push_back({buffer->path(), buffer->data()});
  return state;
}

void load(const std::vector<Parameter*>& parameters, const std::vector<Buffer*>& buffers,
          std::span<const NamedTensor> tensors, const std::string& source, Given ownership = Given::Copied) {
  std::map<std::string_view, const Tensor*> given;
  for (const NamedTensor& tensor : tensors) given[tensor.name] = &tensor.tensor;
  std::vector<Tensor> fresh;
  for (const NamedTensor& want : tensors_of(parameters, buffers)) {
    const auto found = given.find(want.name);
    LATHE_CHECK(FormatError, found != given.end(), source, ": ", want.name, " is missing");
    fresh.push_back(fitted(*found->second, want.tensor, want.name, source, ownership));
    given.erase(found);
  }
  LATHE_CHECK(FormatError, given.empty(), source, ": the model has no ", given.begin()->first);
  size_t next = 0;
  for (const Parameter* parameter : parameters) parameter->raw().set_data(fresh[next++]);
  for (Buffer* buffer : buffers) buffer->data() = fresh[next++];
}

/// Of activation quantizers.
struct GridState {
  std::vector<Parameter*> parameters;
  std::vector<Buffer*> buffers;
  explicit GridState(const Module& model) {
    for (const ActivationQuantizer* quantizer : activation_quantizers_of(model)) {
      const std::vector<Parameter*> own = quantizer->parameters();
      const std::vector<Buffer*> ranges = quantizer->buffers();
      parameters.insert(parameters.end(), own.begin(), own.end());
      buffers.insert(buffers.end(), ranges.begin(), ranges.end());
    }
  }
};

}  // namespace

std::vector<Parameter*> unique_parameters(const Module& model) {
  std::vector<Parameter*> parameters;
  for (Parameter* parameter : model.parameters()) {
    if (!parameter->tied()) parameters.push_back(parameter);
  }
  return parameters;
}

int64_t parameter_count(const Module& model) {
  int64_t count = 0;
  for (const Parameter* parameter : unique_parameters(model)) {
    if (parameter->role() == Role::Weight) count += parameter->numel();
  }
  return count;
}

std::vector<NamedTensor> model_state(const Module& model) {
  return tensors_of(state_parameters(model, false), model.buffers());
}

std::vector<NamedTensor> weights_of(const Module& model) {
  return tensors_of(state_parameters(model, true), model_buffers(model));
}

std::vector<NamedTensor> activation_state(const Module& model) {
  const GridState grids(model);
  return tensors_of(grids.parameters, grids.buffers);
}

void load_model_state(Module& model, std::span<const NamedTensor> tensors, const std::string& source) {
  load(state_parameters(model, false), model.buffers(), tensors, source);
}

void load_buffers(Module& model, std::span<const NamedTensor> tensors, const std::string& source) {
  std::map<std::string, Buffer*> buffers;
  for (Buffer* buffer : model.buffers()) buffers[buffer->path()] = buffer;
  for (const NamedTensor& tensor : tensors) {
    const auto found = buffers.find(tensor.name);
    LATHE_CHECK(FormatError, found != buffers.end(), source, ": the model has no ", tensor.name);
    Tensor& data = found->second->data();
    data = fitted(tensor.tensor, data, tensor.name, source);
  }
}

void load_weights(Module& model, std::span<const NamedTensor> tensors, const std::string& source) {
  load(state_parameters(model, true), model_buffers(model), tensors, source);
}

void load_evaluated(Module& model, std::vector<NamedTensor> tensors, const std::string& source) {
  GridState grids(model);
  std::vector<Parameter*> parameters = state_parameters(model, true);
  std::vector<Buffer*> buffers = model_buffers(model);
  parameters.insert(parameters.end(), grids.parameters.begin(), grids.parameters.end());
  buffers.insert(buffers.end(), grids.buffers.begin(), grids.buffers.end());
  load(parameters, buffers, tensors, source, Given::Kept);
}

}  // namespace lathe
