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

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

}  // namespace

Value packed_header(const std::string& name, int64_t seed, const Value& model, const Value& data,
                    const Value& loss) {
  Value plain = data;
  if (plain.find("augment") != nullptr) plain.set("augment", Value::array());
  return Value::object({{"name", Value::string(name)},
                        {"seed", Value::integer(seed)},
                        {"model", model},
                        {"data", std::move(plain)},
                        {"loss", loss}});
}

PackedModel pack_model(const Value& header, const Module& model) {
  PackedModel packed{.header = header, .tensors = {}};
  for (Parameter* parameter : weights(model)) {
    const auto* quantizer = dynamic_cast<const Quantizer*>(parameter->parametrization().get());
    const Tensor& raw = parameter->raw().data();
    if (quantizer != nullptr) {
      packed.tensors.push_back({parameter->path(), quantizer->encode(raw)});
    } else {
      packed.tensors.push_back({parameter->path(), on_host(raw)});
    }
  }
  for (Buffer* buffer : model_buffers(model))
    packed.tensors.push_back({buffer->path(), on_host(buffer->data())});
  return packed;
}

void load_packed(Module& model, const PackedModel& packed, const std::string& source) {
  std::vector<NamedTensor> tensors;
  for (const PackedTensor& one : packed.tensors) {
    const Codes* codes = std::get_if<Codes>(&one.content);
    tensors.push_back({one.name, codes != nullptr ? decode(*codes) : std::get<Tensor>(one.content)});
  }
  load_weights(model, tensors, source);
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
  const std::vector<Buffer*> ours = model_buffers(a), theirs = model_buffers(b);
  LATHE_CHECK(MismatchError, ours.size() == theirs.size(), "one model has ", ours.size(),
              " buffers, the other ", theirs.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    if (ours[i]->path() != theirs[i]->path() || !same_bits(ours[i]->data(), theirs[i]->data()))
      names.push_back(ours[i]->path());
  }
  return names;
}

}  // namespace lathe
