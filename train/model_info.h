#pragma once
// What a model costs, parameter by parameter and layer by layer.

#include <string>
#include <vector>

#include "core/fields.h"
#include "core/shape.h"
#include "layers/parameter.h"

namespace lathe {

struct ParameterInfo {
  std::string name;
  Kind kind;
  Shape shape;  ///< in Lathe's order of axes
  int64_t numel = 0;
  int64_t fan_in = 1;   ///< products that an output is the sum of, of a weight without transposed groups
  int64_t bytes = 0;    ///< as float32; 0 for a tensor tied to another
  std::string tied_to;  ///< the owner's name, empty unless tied
};

struct LayerInfo {
  std::string name;  ///< of the module, "layer1.0.conv1"; empty for ops outside any child
  std::string type;  ///< "Conv2d"
  Shape output;      ///< of one sample; of the layer's last op
  int64_t macs = 0;  ///< multiply-accumulates of one sample
};

struct ModelInfo {
  std::vector<ParameterInfo> parameters;
  std::vector<LayerInfo> layers;  ///< those that multiply, in the order they ran
  int64_t parameter_count = 0;    ///< tied tensors once
  int64_t buffer_count = 0;       ///< elements of running statistics
  int64_t float_bytes = 0;        ///< of the parameters
  int64_t macs = 0;               ///< of one sample
};

/// Builds the model of a "model" section without memory and runs the shapes of one sample (H, W, C) through
/// it.
ModelInfo describe_model(const Value& section, const FieldPath& where, const Shape& sample);

/// Runs the shapes of one sample through the model as a training step does, without memory. ShapeError where
/// a layer cannot be trained on it.
void train_on_one(const Value& section, const FieldPath& where, const Shape& sample);

Value to_value(const ModelInfo& info);

}  // namespace lathe
