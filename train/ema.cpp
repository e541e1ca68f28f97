#include "train/ema.h"

#include <algorithm>
#include <map>

#include "core/kernels/optim.h"
#include "quant/quantizer.h"
#include "train/model_state.h"

namespace lathe {

Ema::Ema(Module& model, double decay)
    : decay_(decay),
      activations_(activation_quantizers_of(model)),
      parameters_(unique_parameters(model)),
      buffers_(model_buffers(model)) {
  LATHE_CHECK(ConfigError, decay >= 0 && decay < 1, "ema: expected a decay in [0, 1), found ", decay);
  const auto add = [this](std::string name, const Tensor& value) {
    names_.push_back(std::move(name));
    averages_.push_back(value.clone());
  };
  for (const Parameter* parameter : parameters_) add(parameter->path(), parameter->raw().data());
  for (const Buffer* buffer : buffers_) add(buffer->path(), buffer->data());
  for (const Buffer* buffer : model.buffers()) {
    if (std::find(buffers_.begin(), buffers_.end(), buffer) == buffers_.end()) as_they_are_.push_back(buffer);
  }
  values_.reserve(averages_.size());
  find_waiting();
}

void Ema::find_waiting() {
  waiting_ = activations_;
  std::erase_if(waiting_, [](ActivationQuantizer* one) { return one->begun(); });
}

void Ema::begin_grids() {
  std::erase_if(waiting_, [this](ActivationQuantizer* one) {
    if (!one->begun()) return false;
    for (const Parameter* own : one->parameters()) {
      const auto at = std::find(parameters_.begin(), parameters_.end(), own) - parameters_.begin();
      averages_[static_cast<size_t>(at)] = own->raw().data().clone();
    }
    return true;
  });
}

void Ema::update() {
  for (const Parameter* parameter : parameters_) values_.push_back(parameter->raw().data());
  for (const Buffer* buffer : buffers_) values_.push_back(buffer->data());
  kernels::ema_update(averages_, values_, decay_);
  values_.clear();
}

void Ema::swap() {
  size_t next = 0;
  for (const Parameter* parameter : parameters_) {
    const Tensor value = parameter->raw().data();
    parameter->raw().set_data(averages_[next]);
    averages_[next++] = value;
  }
  for (Buffer* buffer : buffers_) std::swap(buffer->data(), averages_[next++]);
}

std::vector<NamedTensor> Ema::state() const {
  std::vector<NamedTensor> state;
  for (size_t i = 0; i < names_.size(); ++i) state.push_back({names_[i], averages_[i]});
  for (const Buffer* buffer : as_they_are_) state.push_back({buffer->path(), buffer->data()});
  return state;
}

void Ema::restore(std::span<const NamedTensor> tensors) {
  std::map<std::string_view, const Tensor*> given;
  for (const NamedTensor& tensor : tensors) given[tensor.name] = &tensor.tensor;
  for (size_t i = 0; i < names_.size(); ++i) {
    const auto found = given.find(names_[i]);
    LATHE_CHECK(FormatError, found != given.end(), "ema: ", names_[i], " is missing");
    const Tensor& tensor = *found->second;
    LATHE_CHECK(FormatError, tensor.shape() == averages_[i].shape() && tensor.dtype() == averages_[i].dtype(),
                "ema: ", names_[i], " is ", tensor.dtype(), tensor.shape(), ", expected ",
                averages_[i].dtype(), averages_[i].shape());
    averages_[i] = tensor.to(averages_[i].device()).clone();
    given.erase(found);
  }
  for (const Buffer* buffer : as_they_are_) given.erase(buffer->path());
  LATHE_CHECK(FormatError, given.empty(), "ema: the model has no ", given.begin()->first);
  find_waiting();
}

}  // namespace lathe
