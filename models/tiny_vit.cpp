#include "models/tiny_vit.h"

#include <algorithm>
#include <numeric>

#include "autograd/ops/activations.h"
#include "autograd/ops/pool.h"

namespace lathe {
namespace {

const TinyVitOptions& checked(const TinyVitOptions& options) {
  const size_t stages = options.widths.size();
  LATHE_CHECK(ConfigError,
              stages >= 1 && options.blocks.size() == stages && options.heads.size() == stages - 1 &&
                  options.windows.size() == stages - 1,
              "tiny_vit: 'widths' lists ", stages, " stages, 'blocks' ", options.blocks.size(), ", 'heads' ",
              options.heads.size(), " and 'windows' ", options.windows.size(),
              ": expected as many blocks as widths, and one of the others less");
  return options;
}

}  // namespace

TinyVit::PatchEmbedding::PatchEmbedding(Module& parent, std::string name, int64_t channels, int64_t width)
    : Module(parent, std::move(name)),
      conv1(*this, "conv1", channels, width / 2, {.kernel = 3, .stride = 2, .pad = 1}),
      conv2(*this, "conv2", width / 2, width, {.kernel = 3, .stride = 2, .pad = 1}) {}

TinyVit::TinyVit(const TinyVitOptions& options, const RootOptions& root)
    : ImageModel(root),
      options_(checked(options)),
      patch_embed_(*this, "patch_embed", options.channels, options.widths[0]),
      stages_(*this, "stages"),
      first_(stages_, "0"),
      head_(*this, "head"),
      norm_(head_, "norm", options.widths.back()),
      fc_(head_, "fc", options.widths.back(), options.classes, tiny_vit_linear()) {
  const int64_t total = std::accumulate(options.blocks.begin(), options.blocks.end(), int64_t{0});
  int64_t index = 0;
  const auto drop_rate = [&] {
    return options.drop_path * static_cast<double>(index++) /
           static_cast<double>(std::max<int64_t>(1, total - 1));
  };
  for (int64_t i = 0; i < options.blocks[0]; ++i) first_.blocks.emplace(options.widths[0], drop_rate());
  for (size_t s = 1; s < options.widths.size(); ++s) {
    AttentionStage& stage = *rest_.emplace_back(std::make_unique<AttentionStage>(
        stages_, std::to_string(s), options.widths[s - 1], options.widths[s]));
    for (int64_t i = 0; i < options.blocks[s]; ++i) {
      stage.blocks.emplace(TinyVitBlockOptions{.width = options.widths[s],
                                               .heads = options.heads[s - 1],
                                               .window = options.windows[s - 1],
                                               .drop_path = drop_rate()});
    }
  }
}

Var TinyVit::logits(const Var& images) {
  expect_images(images, options_.channels);
  LATHE_CHECK(ShapeError, images.dim(1) == options_.image && images.dim(2) == options_.image,
              "tiny_vit: the image is ", images.dim(1), "x", images.dim(2), ", the option 'image' says ",
              options_.image, "x", options_.image);
  Var x = patch_embed_.conv2(gelu(patch_embed_.conv1(images)));
  for (const auto& block : first_.blocks) x = (*block)(x);
  for (const auto& stage : rest_) {
    x = stage->downsample(x);
    for (const auto& block : stage->blocks) x = (*block)(x);
  }
  return fc_(norm_(global_avg_pool2d(x)));
}

}  // namespace lathe
