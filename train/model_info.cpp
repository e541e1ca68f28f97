#include "train/model_info.h"

#include <algorithm>

#include "layers/model.h"
#include "models/registry.h"

namespace lathe {
namespace {

Value shape_value(const Shape& shape) {
  Value out = Value::array();
  for (const int64_t n : shape) out.push_back(Value::integer(n));
  return out;
}

// "layer1.0.conv1 (Conv2d)" of an op call, as a layer's name and type.
LayerInfo layer_of(const OpCall& call) {
  LayerInfo layer;
  const size_t open = call.where.rfind(" (");
  if (open == std::string::npos) return layer;
  layer.name = call.where.substr(0, open);
  layer.type = call.where.substr(open + 2, call.where.size() - open - 3);
  return layer;
}

void add_layers(ModelInfo& info, const std::vector<OpCall>& calls) {
  for (const OpCall& call : calls) {
    if (call.info.macs == 0) continue;
    LayerInfo layer = layer_of(call);
    if (info.layers.empty() || info.layers.back().name != layer.name) info.layers.push_back(std::move(layer));
    info.layers.back().output = Shape(call.output.dims().subspan(1));
    info.layers.back().macs += call.info.macs;
    info.macs += call.info.macs;
  }
}

int64_t fan_in_of(const Parameter& parameter) {
  if (parameter.shape().rank() < 2) return 1;
  const int outputs = parameter.axes() == Axes::ConvTranspose ? parameter.shape().rank() - 1 : 0;
  return std::max<int64_t>(1, parameter.numel() / std::max<int64_t>(1, parameter.shape()[outputs]));
}

void add_parameters(ModelInfo& info, const Model& model) {
  for (const Parameter* parameter : model.parameters()) {
    if (parameter->role() != Role::Weight) continue;
    ParameterInfo row{parameter->path(),
                      parameter->kind(),
                      parameter->shape(),
                      parameter->numel(),
                      fan_in_of(*parameter),
                      0,
                      {}};
    if (parameter->tied()) {
      row.tied_to = parameter->owner().path();
    } else {
      row.bytes = parameter->numel() * static_cast<int64_t>(sizeof(float));
      info.parameter_count += parameter->numel();
      info.float_bytes += row.bytes;
    }
    info.parameters.push_back(std::move(row));
  }
  for (const Buffer* buffer : model.buffers()) info.buffer_count += buffer->data().numel();
}

std::unique_ptr<Model> build_without_memory(const Value& section, const FieldPath& where) {
  RootOptions options;
  options.device = Device::meta();
  return model_registry().build(section, where, options);
}

void forward_one(Model& model, const Shape& sample, Mode mode) {
  std::vector<int64_t> dims = {1};
  dims.insert(dims.end(), sample.begin(), sample.end());
  Batch batch;
  batch.inputs.push_back(Tensor::empty(Shape(dims), model.input_dtype(), Device::meta()));
  batch.size = 1;
  model.run().mode = mode;
  const NoGrad no_grad;
  model.forward(batch);
}

}  // namespace

ModelInfo describe_model(const Value& section, const FieldPath& where, const Shape& sample) {
  const std::unique_ptr<Model> model = build_without_memory(section, where);
  ModelInfo info;
  const OpLog log;
  forward_one(*model, sample, Mode::Eval);
  add_layers(info, log.calls());
  add_parameters(info, *model);
  return info;
}

void train_on_one(const Value& section, const FieldPath& where, const Shape& sample) {
  forward_one(*build_without_memory(section, where), sample, Mode::Train);
}

Value to_value(const ModelInfo& info) {
  Value parameters = Value::array();
  for (const ParameterInfo& row : info.parameters) {
    Value value = Value::object({{"name", Value::string(row.name)},
                                 {"kind", Value::string(std::string(to_string(row.kind)))},
                                 {"shape", shape_value(row.shape)},
                                 {"parameters", Value::integer(row.numel)},
                                 {"bytes", Value::integer(row.bytes)}});
    if (!row.tied_to.empty()) value.set("tied_to", Value::string(row.tied_to));
    parameters.push_back(std::move(value));
  }
  Value layers = Value::array();
  for (const LayerInfo& row : info.layers) {
    layers.push_back(Value::object({{"name", Value::string(row.name)},
                                    {"type", Value::string(row.type)},
                                    {"output", shape_value(row.output)},
                                    {"macs", Value::integer(row.macs)}}));
  }
  return Value::object({{"parameters", Value::integer(info.parameter_count)},
                        {"buffer_elements", Value::integer(info.buffer_count)},
                        {"float_bytes", Value::integer(info.float_bytes)},
                        {"macs", Value::integer(info.macs)},
                        {"tensors", std::move(parameters)},
                        {"layers", std::move(layers)}});
}

}  // namespace lathe
