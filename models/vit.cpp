#include "models/vit.h"

#include <algorithm>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"
#include "models/positions.h"

namespace lathe {
namespace {

constexpr LayerNormConfig kNorm = {.eps = 1e-6};

LinearOptions linear_options() {
  return {.weight_init = init::truncated_normal(0.02), .bias_init = init::constant(0)};
}

ParameterSpec token_spec(int64_t tokens, int64_t width) {
  return {.shape = {1, tokens, width}, .kind = Kind::Embedding, .init = init::truncated_normal(0.02)};
}

int64_t token_count(const VisionTransformerOptions& options) {
  LATHE_CHECK(ConfigError, options.image % options.patch == 0, "vit: patches of ", options.patch,
              " pixels do not divide an image of ", options.image);
  const int64_t side = options.image / options.patch;
  return side * side + (options.distilled ? 2 : 1);
}

TransformerBlockOptions block_options(const VisionTransformerOptions& options, int64_t index) {
  const double depth = static_cast<double>(std::max<int64_t>(1, options.depth - 1));
  const auto hidden = static_cast<int64_t>(options.mlp_ratio * static_cast<double>(options.width));
  return {.width = options.width,
          .norm = kNorm,
          .attention = {.heads = options.heads, .qkv = linear_options(), .out = linear_options()},
          .feed_forward = {.hidden = hidden,
                           .dropout = options.dropout,
                           .in = linear_options(),
                           .out = linear_options()},
          .dropout = options.dropout,
          .drop_path = options.drop_path * static_cast<double>(index) / depth};
}

}  // namespace

VisionTransformer::VisionTransformer(const VisionTransformerOptions& options, const RootOptions& root)
    : ImageModel(root),
      options_(options),
      cls_token_(*this, "cls_token", token_spec(1, options.width)),
      pos_embed_(*this, "pos_embed", token_spec(token_count(options), options.width)),
      pos_drop_(*this, "pos_drop", options.dropout),
      patch_embed_(*this, "patch_embed"),
      proj_(patch_embed_, "proj", options.channels, options.width,
            {.kernel = options.patch, .stride = options.patch, .bias = true}),
      blocks_(*this, "blocks"),
      norm_(*this, "norm", options.width, kNorm),
      head_(*this, "head", options.width, options.classes, linear_options()) {
  for (int64_t i = 0; i < options.depth; ++i) blocks_.emplace(block_options(options, i));
  if (options.distilled) {
    dist_token_.emplace(*this, "dist_token", token_spec(1, options.width));
    head_dist_.emplace(*this, "head_dist", options.width, options.classes, linear_options());
  }
}

Var VisionTransformer::embed(const Var& images) {
  expect_images(images, options_.channels);
  LATHE_CHECK(ShapeError, images.dim(1) == options_.image && images.dim(2) == options_.image,
              "vit: the image is ", images.dim(1), "x", images.dim(2), ", the option 'image' says ",
              options_.image, "x", options_.image);
  const Var map = proj_(images);
  const Var patches = reshape(map, {map.dim(0), map.dim(1) * map.dim(2), options_.width});
  std::vector<Var> tokens = {cast(cls_token_.value(), map.dtype())};
  if (dist_token_) tokens.push_back(cast(dist_token_->value(), map.dtype()));
  return pos_drop_(add(prepend_tokens(tokens, patches), cast(pos_embed_.value(), map.dtype())));
}

std::pair<Var, Var> VisionTransformer::heads(const Var& images) {
  Var x = embed(images);
  for (const auto& block : blocks_) x = (*block)(x);
  // The norm works token by token: the others' are not needed.
  const Var classes = head_(norm_(token_at(x, 0)));
  return {classes, head_dist_ ? (*head_dist_)(norm_(token_at(x, 1))) : Var()};
}

Var VisionTransformer::logits(const Var& images) {
  const auto [classes, distilled] = heads(images);
  return distilled.defined() ? scale(add(classes, distilled), 0.5) : classes;
}

Tensor VisionTransformer::fitted(const Parameter& parameter, const Tensor& given) const {
  if (&parameter != &pos_embed_) return {};
  return resized_positions(given, pos_embed_.shape(), dist_token_ ? 2 : 1);
}

}  // namespace lathe
