#include "models/vit_cifar.h"

#include <cmath>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"
#include "models/positions.h"

namespace lathe {
namespace {

int64_t patch_count(const VitCifarOptions& options) {
  LATHE_CHECK(ConfigError, options.image % options.patch == 0, "vit_cifar: patches of ", options.patch,
              " pixels do not divide an image of ", options.image);
  const int64_t side = options.image / options.patch;
  return side * side;
}

ParameterSpec token_spec(int64_t tokens, int64_t width) {
  return {.shape = {1, tokens, width}, .kind = Kind::Embedding, .init = init::normal(1)};
}

SelfAttentionOptions attention_options(const VitCifarOptions& options) {
  return {.heads = options.heads,
          .scale = 1 / std::sqrt(static_cast<double>(options.width)),
          .qkv = {.bias = false},
          .qkv_name = "to_qkv",
          .out_name = "to_out.0"};
}

}  // namespace

VitCifarAttention::VitCifarAttention(Module& parent, std::string name, const VitCifarOptions& options)
    : Module(parent, std::move(name)),
      fn(*this, "fn"),
      norm(fn, "norm", options.width),
      attention(fn, "fn", options.width, attention_options(options)),
      drop(*this, "drop", options.dropout) {}

VitCifarMlp::VitCifarMlp(Module& parent, std::string name, const VitCifarOptions& options)
    : Module(parent, std::move(name)),
      fn(*this, "fn"),
      norm(fn, "norm", options.width),
      inner(fn, "fn"),
      net(inner, "net", options.width,
          {.hidden = options.mlp, .dropout = options.dropout, .in_name = "0", .out_name = "3"}),
      drop(*this, "drop", options.dropout) {}

VitCifarHead::VitCifarHead(Module& parent, std::string name, const VitCifarOptions& options)
    : Module(parent, std::move(name)),
      norm(*this, "0", options.width),
      hidden(*this, "1", options.width, options.mlp),
      drop(*this, "drop", options.dropout),
      out(*this, "4", options.mlp, options.classes) {}

VitCifar::VitCifar(const VitCifarOptions& options, const RootOptions& root)
    : ImageModel(root),
      options_(options),
      pos_embedding_(*this, "pos_embedding", token_spec(patch_count(options) + 1, options.width)),
      cls_token_(*this, "cls_token", token_spec(1, options.width)),
      patch_to_embedding_(*this, "patch_to_embedding", options.patch * options.patch * options.channels,
                          options.width),
      dropout_(*this, "dropout", options.embedding_dropout),
      transformer_(*this, "transformer"),
      layers_(transformer_, "layers"),
      head_(*this, "mlp_head", options) {
  for (int64_t i = 0; i < options.depth; ++i) layers_.emplace(options);
}

// (N, H, W, C) -> (N, patches, patch patch C): rows of patches, in each its rows, columns and channels.
Var VitCifar::patches(const Var& images) const {
  const int64_t n = images.dim(0), channels = images.dim(3), patch = options_.patch;
  const int64_t side = options_.image / patch;
  const Var split = reshape(images, {n, side, patch, side, patch, channels});
  return reshape(permute(split, {0, 1, 3, 2, 4, 5}), {n, side * side, patch * patch * channels});
}

Var VitCifar::logits(const Var& images) {
  expect_images(images, options_.channels);
  LATHE_CHECK(ShapeError, images.dim(1) == options_.image && images.dim(2) == options_.image,
              "vit_cifar: the image is ", images.dim(1), "x", images.dim(2), ", the option 'image' says ",
              options_.image, "x", options_.image);
  const Var tokens =
      prepend_tokens({cast(cls_token_.value(), images.dtype())}, patch_to_embedding_(patches(images)));
  Var x = dropout_(add(tokens, cast(pos_embedding_.value(), images.dtype())));
  for (const auto& block : layers_) x = (*block)(x);
  return head_(token_at(x, 0));
}

Tensor VitCifar::fitted(const Parameter& parameter, const Tensor& given) const {
  return &parameter == &pos_embedding_ ? resized_positions(given, pos_embedding_.shape(), 1) : Tensor();
}

}  // namespace lathe
