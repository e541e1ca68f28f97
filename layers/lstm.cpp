#include "layers/lstm.h"

#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"
#include "layers/init.h"

namespace lathe {
namespace {

constexpr int64_t kGates = 4;

ParameterSpec spec(const Shape& shape, Kind kind, int64_t hidden) {
  return {.shape = shape, .kind = kind, .init = init::fan_in_uniform(hidden)};
}

}  // namespace

Lstm::Direction::Direction(Module& owner, const std::string& suffix, int64_t in, int64_t hidden)
    : weight_ih(owner, "weight_ih" + suffix, spec({kGates * hidden, in}, Kind::Weight, hidden)),
      weight_hh(owner, "weight_hh" + suffix, spec({kGates * hidden, hidden}, Kind::Weight, hidden)),
      bias_ih(owner, "bias_ih" + suffix, spec({kGates * hidden}, Kind::Bias, hidden)),
      bias_hh(owner, "bias_hh" + suffix, spec({kGates * hidden}, Kind::Bias, hidden)) {}

Var Lstm::Direction::operator()(const Var& x, bool reverse) {
  const LstmWeights weights{.input = weight_ih.value(),
                            .recurrent = weight_hh.value(),
                            .input_bias = bias_ih.value(),
                            .recurrent_bias = bias_hh.value()};
  const Var states = lstm(x, weights, {.reverse = reverse});
  return reshape(slice(states, 0, 0, 1), {x.dim(0), x.dim(1), states.dim(3)});
}

Lstm::Lstm(Module& parent, std::string name, int64_t in, int64_t hidden, const LstmLayersOptions& options)
    : Module(parent, std::move(name)) {
  LATHE_CHECK(ConfigError, in > 0 && hidden > 0 && options.layers > 0, describe(),
              ": sizes must be positive, found in ", in, ", hidden ", hidden, ", layers ", options.layers);
  const int64_t directions = options.bidirectional ? 2 : 1;
  for (int64_t i = 0; i < options.layers; ++i) {
    const std::string suffix = concat("_l", i);
    const int64_t features = i == 0 ? in : directions * hidden;
    auto layer = std::make_unique<Layer>(*this, "input" + suffix);
    layer->directions.push_back(std::make_unique<Direction>(*this, suffix, features, hidden));
    if (options.bidirectional)
      layer->directions.push_back(std::make_unique<Direction>(*this, suffix + "_reverse", features, hidden));
    layers_.push_back(std::move(layer));
  }
}

Var Lstm::operator()(const Var& x) {
  const ErrorScope scope(*this);
  const DType outside = x.dtype();
  Var y = cast(x, root_options().dtype);
  for (const auto& layer : layers_) {
    const Var in = layer->input(y);
    y = (*layer->directions[0])(in, false);
    if (layer->directions.size() > 1) y = concat({y, (*layer->directions[1])(in, true)}, 2);
  }
  return cast(y, outside);
}

}  // namespace lathe
