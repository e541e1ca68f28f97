#include "train/packing.h"

#include <cstring>
#include <map>

#include "core/error.h"
#include "quant/quantizer.h"
#include "train/model_state.h"

namespace lathe {
namespace {

Tensor on_host(const Tensor& tensor) {
  return tensor.to(Device::cpu());
}

std::vector<Parameter*> weights(const Module& model) {
  std::vector<Parameter*> all = unique_parameters(model);
  std::erase_if(all, [](const Parameter* parameter) { return parameter->role() != Role::Weight; });
  return all;
}

std::vector<NamedTensor> stored_as_they_are(const Module& model) {
  std::vector<NamedTensor> all;
  for (const Buffer* buffer : model_buffers(model)) all.push_back({buffer->path(), buffer->data()});
  for (NamedTensor& one : activation_state(model)) all.push_back(std::move(one));
  return all;
}

}  // namespace

Value to_value(const PackedHeader& header) {
  Value plain = header.data;
  if (plain.find("augment") != nullptr) plain.set("augment", Value::array());
  Value out = Value::object({{"name", Value::string(header.name)},
                             {"seed", Value::integer(header.seed)},
                             {"model", header.model},
                             {"data", std::move(plain)},
                             {"loss", header.loss},
                             {"input", header.input},
                             {"winograd", Value::boolean(header.winograd)}});
  const Value* activations = header.quant.find("activations");
  if (activations != nullptr && !activations->items().empty())
    out.set("quant", Value::object({{"activations", *activations}}));
  return out;
}

Value describe_input(const DatasetInfo& info) {
  Value shape = Value::array(), names = Value::array();
  for (const int64_t n : info.sample) shape.push_back(Value::integer(n));
  for (const std::string& name : info.class_names) names.push_back(Value::string(name));
  Value input = Value::object({{"shape", std::move(shape)}, {"class_names", std::move(names)}});
  if (!info.tokenizer.is(Value::Type::Null)) input.set("tokenizer", info.tokenizer);
  return input;
}

PackedModel pack_model(const Value& header, const Module& model) {
  PackedModel packed{.header = header, .tensors = {}};
  for (Parameter* parameter : weights(model)) {
    const auto* quantizer = dynamic_cast<const Quantizer*>(parameter->parametrization().get());
    const Tensor& raw = parameter->raw().data();
    if (quantizer != nullptr) {
      const ErrorScope scope(*quantizer);
      packed.tensors.push_back({parameter->path(), quantizer->encode(raw)});
    } else {
      packed.tensors.push_back({parameter->path(), on_host(raw)});
    }
  }
  for (const NamedTensor& one : stored_as_they_are(model))
    packed.tensors.push_back({one.name, on_host(one.tensor)});
  return packed;
}

void load_packed(Module& model, const PackedModel& packed, const std::string& source) {
  std::vector<NamedTensor> tensors;
  for (const PackedTensor& one : packed.tensors) {
    const Codes* codes = std::get_if<Codes>(&one.content);
    tensors.push_back({one.name, codes != nullptr ? decode(*codes) : std::get<Tensor>(one.content).clone()});
  }
  load_evaluated(model, std::move(tensors), source);
}

void load_unpacked(Module& model, UnpackedModel unpacked, const std::string& source) {
  load_evaluated(model, std::move(unpacked.tensors), source);
}

std::vector<std::string> differing_values(Model& a, Model& b) {
  const NoGrad no_grad;
  std::vector<std::string> names;
  for (Model* model : {&a, &b}) {
    model->run().mode = Mode::Eval;
    ++model->run().forward;
  }
  const std::vector<Parameter*> left = weights(a), right = weights(b);
  LATHE_CHECK(MismatchError, left.size() == right.size(), "one model has ", left.size(),
              " parameters, the other ", right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    if (left[i]->path() != right[i]->path() || !same_bits(left[i]->value().data(), right[i]->value().data()))
      names.push_back(left[i]->path());
  }
  const std::vector<NamedTensor> ours = stored_as_they_are(a), theirs = stored_as_they_are(b);
  LATHE_CHECK(MismatchError, ours.size() == theirs.size(), "one model has ", ours.size(),
              " buffers and grids, the other ", theirs.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    if (ours[i].name != theirs[i].name || !same_bits(ours[i].tensor, theirs[i].tensor))
      names.push_back(ours[i].name);
  }
  return names;
}

}  // namespace lathe
