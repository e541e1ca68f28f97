#include "quant/quantizer.h"

#include "core/error.h"
#include "quant/activation.h"

namespace lathe {

Quantizer::Quantizer(const Site& site, const std::string& method)
    : Module(site.owner, site.parameter.name() + "_" + method),
      method_(method),
      parameter_(site.parameter),
      forward_(site.forward) {}

Var Quantizer::apply(const Var& raw, const RunState& run, uint32_t stream) {
  const ErrorScope scope(*this);
  if (run.mode == Mode::Train) return train(raw, run, stream);
  return Var(decode(encode(raw.data())).to(raw.dtype()).to(raw.data().device()));
}

void Quantizer::before_update(const Moment&) {}

std::optional<Oscillations> Quantizer::oscillations(double) const {
  return {};
}

std::vector<Quantizer*> quantizers_of(const Module& model) {
  std::vector<Quantizer*> all;
  for (Parameter* parameter : model.parameters()) {
    if (parameter->tied()) continue;
    if (auto* quantizer = dynamic_cast<Quantizer*>(parameter->parametrization().get()))
      all.push_back(quantizer);
  }
  return all;
}

std::vector<Buffer*> model_buffers(const Module& model) {
  std::vector<Buffer*> buffers = model.buffers();
  std::erase_if(buffers, [](const Buffer* buffer) {
    const Module* owner = &buffer->module();
    return dynamic_cast<const Quantizer*>(owner) != nullptr ||
           dynamic_cast<const ActivationQuantizer*>(owner) != nullptr;
  });
  return buffers;
}

}  // namespace lathe
