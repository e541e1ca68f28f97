#include "models/basic_block.h"

#include "autograd/ops/shape.h"

namespace lathe {

ProjectionShortcut::ProjectionShortcut(Module& parent, std::string name, const BasicBlockOptions& options)
    : Module(parent, std::move(name)),
      conv(*this, "0", options.in, options.out,
           {.kernel = 1, .stride = options.stride, .weight_init = options.conv_init}),
      bn(*this, "1", options.out) {}

BasicBlock::BasicBlock(Module& parent, std::string name, const BasicBlockOptions& options)
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
    shortcut.emplace(*this, "shortcut", options);
  } else {
    pad_channels_ = true;
  }
}

Var BasicBlock::operator()(const Var& x) {
  const ErrorScope scope(*this);
  const Var beside = shortcut ? (*shortcut)(x) : pad_channels_ ? option_a_shortcut(x, stride_, out_) : x;
  return residual_block({conv1, bn1}, {conv2, bn2}, x, beside);
}

BasicStages::BasicStages(Module& parent, const std::vector<int64_t>& blocks, int64_t width,
                         BasicBlockOptions block)
    : out_(width) {
  LATHE_CHECK(ConfigError, !blocks.empty(), parent.type(), ": 'blocks' lists no stage");
  for (size_t stage = 0; stage < blocks.size(); ++stage) {
    auto& list =
        stages_.emplace_back(std::make_unique<ModuleList<BasicBlock>>(parent, concat("layer", stage + 1)));
    block.in = out_;
    block.out = width << stage;
    block.stride = stage == 0 ? 1 : 2;
    for (int64_t i = 0; i < blocks[stage]; ++i) {
      list->emplace(block);
      block.in = block.out;
      block.stride = 1;
    }
    out_ = block.out;
  }
}

Var BasicStages::operator()(const Var& x) {
  Var y = x;
  for (const auto& stage : stages_) {
    for (const auto& block : *stage) y = (*block)(y);
  }
  return y;
}

}  // namespace lathe
