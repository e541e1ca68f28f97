#include "quant/quantizer.h"

#include "core/error.h"

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

void Granularity::fields(FieldVisitor& v) {
  v.visit("granularity", granularity,
          {.doc = "what shares a scale: the tensor, an output channel, or `group` consecutive elements",
           .choices = {"tensor", "channel", "group"}});
  v.visit("group", group,
          {.doc = "elements of a group, the last may be shorter; 0: not in groups", .min = 0});
}

int64_t Granularity::elements(const Parameter& parameter) const {
  LATHE_CHECK(ConfigError, (granularity == "group") == (group > 0), "granularity '", granularity,
              "' with group ", group, ": expected granularity 'group' and a group of at least 1, or neither");
  if (granularity == "group") return group;
  if (granularity == "tensor") return 0;
  LATHE_CHECK(ConfigError, parameter.axes() != Axes::ConvTranspose,
              "granularity 'channel': the output channels of ", parameter.path(),
              " are not consecutive (a transposed convolution)");
  return parameter.numel() / parameter.shape()[0];
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
    return dynamic_cast<const Quantizer*>(&buffer->module()) != nullptr;
  });
  return buffers;
}

}  // namespace lathe
