#include "models/bottleneck.h"

namespace lathe {

Bottleneck::Bottleneck(Module& parent, std::string name, const Options& options)
    : Module(parent, std::move(name)),
      conv1(*this, "conv1", options.in, options.out / kExpansion, {.weight_init = options.conv_init}),
      bn1(*this, "bn1", options.out / kExpansion),
      conv2(*this, "conv2", options.out / kExpansion, options.out / kExpansion,
            {.kernel = 3, .stride = options.stride, .pad = 1, .weight_init = options.conv_init}),
      bn2(*this, "bn2", options.out / kExpansion),
      conv3(*this, "conv3", options.out / kExpansion, options.out, {.weight_init = options.conv_init}),
      bn3(*this, "bn3", options.out) {
  LATHE_CHECK(ConfigError, options.shortcut == Shortcut::Projection, describe(),
              ": a bottleneck's shortcut is the identity or a projection");
  if (options.stride != 1 || options.in != options.out)
    shortcut.emplace(*this, options.shortcut_name, options);
}

Var Bottleneck::operator()(const Var& x) {
  const ErrorScope scope(*this);
  const Var beside = shortcut ? (*shortcut)(x) : x;
  return bottleneck_block({conv1, bn1}, {conv2, bn2}, {conv3, bn3}, x, beside);
}

}  // namespace lathe
