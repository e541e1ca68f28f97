#include "layers/dropout.h"

#include "autograd/ops/random.h"

namespace lathe {
namespace {

double probability(const Module& layer, double p) {
  LATHE_CHECK(ConfigError, p >= 0 && p < 1, layer.describe(), ": probability ", p, " is not in [0, 1)");
  return p;
}

// The stream of this call: a module that is used twice in one forward has one per use.
Philox noise(const Module& layer) {
  const uint32_t call = layer.next_call();
  const uint32_t stream = layer.stream(call == 0 ? std::string("mask") : concat("mask", call));
  return {layer.run().seed, stream, layer.run().step};
}

}  // namespace

Dropout::Dropout(Module& parent, std::string name, double p)
    : Module(parent, std::move(name)), p_(probability(*this, p)) {}

Var Dropout::operator()(const Var& x) const {
  if (!active()) return x;
  const ErrorScope scope(*this);
  const int64_t samples = x.dim(0);
  const int64_t per_sample = samples == 0 ? 0 : x.shape().numel() / samples;
  return dropout(x, p_, noise(*this), run().first_sample * static_cast<uint64_t>(per_sample));
}

DropPath::DropPath(Module& parent, std::string name, double p)
    : Module(parent, std::move(name)), p_(probability(*this, p)) {}

Var DropPath::operator()(const Var& x) const {
  if (!active()) return x;
  const ErrorScope scope(*this);
  return drop_path(x, p_, noise(*this), run().first_sample);
}

}  // namespace lathe
