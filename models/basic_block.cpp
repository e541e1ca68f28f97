#include "models/basic_block.h"

#include "autograd/ops/shape.h"

namespace lathe {

ProjectionShortcut::ProjectionShortcut(Module& parent, std::string name, const ResidualBlockOptions& options)
    : Module(parent, std::move(name)),
      conv(*this, "0", options.in, options.out,
           {.kernel = 1, .stride = options.stride, .weight_init = options.conv_init}),
      bn(*this, "1", options.out) {}

BasicBlock::BasicBlock(Module& parent, std::string name, const ResidualBlockOptions& options)
    : Module(parent, std::move(name)),
      conv1(*this, "conv1", options.in, options.out,
            {.kernel = 3, .stride = options.stride, .pad = 1, .weight_init = options.conv_init}),
      bn1(*this, "bn1", options.out),
      conv2(*this, "conv2", options.out, options.out,
            {.kernel = 3, .pad = 1, .weight_init = options.conv_init}),
      bn2(*this, "bn2", options.out),
      out_(options.out),
      stride_(options.stride) {
  if (options.stride == 1 && options.in == options.out) return;
  if (options.shortcut == Shortcut::Projection) {
    shortcut.emplace(*this, options.shortcut_name, options);
  } else {
    pad_channels_ = true;
  }
}

Var BasicBlock::operator()(const Var& x) {
  const ErrorScope scope(*this);
  const Var beside = shortcut ? (*shortcut)(x) : pad_channels_ ? option_a_shortcut(x, stride_, out_) : x;
  return residual_block({conv1, bn1}, {conv2, bn2}, x, beside);
}

}  // namespace lathe
