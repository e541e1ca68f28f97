#pragma once
// The stages of a residual network (He et al. 2016, table 1).

#include <memory>
#include <vector>

#include "layers/module.h"

namespace lathe {

/// Stages "layer1", "layer2", ...: stage i has blocks[i] blocks whose 3x3 convolutions are 2^i `width` wide
/// and, from the second on, begins with stride 2. The input has `width` channels. The fields of `block` other
/// than in, out and stride hold for every block.
template <class Block>
class ResidualStages {
 public:
  ResidualStages(Module& parent, const std::vector<int64_t>& blocks, int64_t width,
                 typename Block::Options block)
      : out_(width) {
    LATHE_CHECK(ConfigError, !blocks.empty(), parent.type(), ": 'blocks' lists no stage");
    for (size_t stage = 0; stage < blocks.size(); ++stage) {
      auto& list =
          stages_.emplace_back(std::make_unique<ModuleList<Block>>(parent, concat("layer", stage + 1)));
      block.in = out_;
      block.out = Block::kExpansion * (width << stage);
      block.stride = stage == 0 ? 1 : 2;
      for (int64_t i = 0; i < blocks[stage]; ++i) {
        list->emplace(block);
        block.in = block.out;
        block.stride = 1;
      }
      out_ = block.out;
    }
  }

  Var operator()(const Var& x) {
    Var y = x;
    for (const auto& stage : stages_) {
      for (const auto& block : *stage) y = (*block)(y);
    }
    return y;
  }

  int64_t out_channels() const { return out_; }

 private:
  std::vector<std::unique_ptr<ModuleList<Block>>> stages_;
  int64_t out_;
};

}  // namespace lathe
