#include "models/transformer_lm.h"

#include <cmath>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"
#include "core/philox.h"

namespace lathe {
namespace {

DecoderLayerOptions layer_options(const TransformerLmOptions& options) {
  return {.width = options.width,
          .heads = options.heads,
          .hidden = options.ffn,
          .gelu = options.activation == "gelu",
          .dropout = options.dropout,
          .attention_dropout = options.attention_dropout,
          .activation_dropout = options.activation_dropout};
}

// (N, T) u8 on `device`, or undefined where nothing is padded.
Tensor padded_places(const Tensor& tokens, int64_t padding, Device device) {
  if (padding < 0 || tokens.device() == Device::meta()) return {};
  const std::span<const int64_t> ids = tokens.span<int64_t>();
  std::vector<uint8_t> places(ids.size());
  bool any = false;
  for (size_t i = 0; i < ids.size(); ++i) {
    places[i] = ids[i] == padding;
    any = any || places[i] != 0;
  }
  return any ? Tensor::from(places, tokens.shape()).to(device) : Tensor();
}

}  // namespace

void TransformerLmOptions::fields(FieldVisitor& v) {
  const auto dropout_of = [&](std::string_view name, double& value, std::string_view doc) {
    v.visit(name, value, {.doc = doc, .min = 0, .max = 1, .below_max = true});
  };
  v.visit("vocab", vocab, {.doc = "number of tokens, the most frequent first", .min = 2});
  v.visit("cutoffs", cutoffs, {.doc = "where the bands of ever rarer words begin", .min = 1});
  v.visit("factor", factor, {.doc = "each band's vectors are so many times as narrow", .min = 1});
  v.visit("width", width, {.doc = "numbers per token", .min = 4});
  v.visit("layers", layers, {.doc = "decoder layers", .min = 1});
  v.visit("heads", heads, {.doc = "attention heads; they divide 'width'", .min = 1});
  v.visit("ffn", ffn, {.doc = "hidden numbers of a layer's feed-forward part", .min = 1});
  v.visit("context", context, {.doc = "most tokens of a sequence", .min = 1, .max = 1 << 20});
  v.visit("tied", tied, {.doc = "the softmax's words have the input's vectors"});
  v.visit("tied_projections", tied_projections, {.doc = "and, where tied, the input's projections"});
  v.visit("activation", activation, {.doc = "of the feed-forward parts", .choices = {"relu", "gelu"}});
  dropout_of("dropout", dropout, "dropout of embeddings and branches");
  dropout_of("attention_dropout", attention_dropout, "dropout of attention probabilities");
  dropout_of("activation_dropout", activation_dropout, "dropout behind the activation");
  dropout_of("softmax_dropout", softmax_dropout, "dropout in the adaptive softmax");
  dropout_of("layer_drop", layer_drop, "probability that a step leaves a layer out");
  v.visit("padding", padding,
          {.doc = "token that stands for no token, which counts nowhere; -1: none", .min = -1});
}

TransformerLmOptions transformer_lm_wiki103() {
  TransformerLmOptions options;
  options.vocab = 267744;
  options.cutoffs = {20000, 60000};
  options.width = 1024;
  options.layers = 16;
  options.heads = 8;
  options.ffn = 4096;
  options.context = 3072;
  options.dropout = 0.2;
  options.attention_dropout = 0.1;
  options.activation_dropout = 0.1;
  options.softmax_dropout = 0.2;
  options.layer_drop = 0.1;
  return options;
}

TransformerLm::TransformerLm(const TransformerLmOptions& options, const RootOptions& root)
    : LanguageModel(root),
      options_(options),
      decoder_(*this, "decoder"),
      embed_tokens_(decoder_, "embed_tokens", Bands(options.cutoffs, options.vocab), options.width,
                    options.factor, options.padding),
      positions_(options.width, options.padding),
      drop_(decoder_, "drop", options.dropout),
      layers_(decoder_, "layers"),
      adaptive_softmax_(decoder_, "adaptive_softmax", Bands(options.cutoffs, options.vocab), embed_tokens_,
                        {.width = options.width,
                         .factor = options.factor,
                         .dropout = options.softmax_dropout,
                         .tied = options.tied,
                         .tied_projections = options.tied && options.tied_projections,
                         .padding = options.padding}) {
  for (int64_t i = 0; i < options.layers; ++i) layers_.emplace(layer_options(options));
}

// One draw per layer and step; what is left is not scaled.
bool TransformerLm::dropped(const Module& layer) const {
  if (!training() || options_.layer_drop == 0) return false;
  return Philox{run().seed, layer.stream("layer_drop"), run().step}.uniform(0) <= options_.layer_drop;
}

Var TransformerLm::features(const Tensor& given) {
  expect_tokens(given);
  const Tensor tokens = device() == Device::meta() ? given : given.to(Device::cpu());
  const Tensor places = positions_(tokens).to(root_options().dtype).to(device());
  const Tensor padding = padded_places(tokens, options_.padding, device());
  const double factor = std::sqrt(static_cast<double>(options_.width));
  Var x = scale(embed_tokens_(tokens), factor);
  x = drop_(add(x, cast(Var(places), x.dtype())));
  for (const auto& layer : layers_) {
    if (!dropped(*layer)) x = (*layer)(x, padding);
  }
  return x;
}

Var TransformerLm::forward(const Batch& batch) {
  const ErrorScope scope(*this);
  return adaptive_softmax_.first_level(features(tokens_of(*this, batch)));
}

Var TransformerLm::logits(const Tensor& tokens) {
  const ErrorScope scope(*this);
  return adaptive_softmax_.log_probabilities(features(tokens));
}

Var TransformerLm::loss(const Tensor& tokens, const Tensor& targets) {
  const ErrorScope scope(*this);
  return adaptive_softmax_.loss(features(tokens),
                                device() == Device::meta() ? targets : targets.to(Device::cpu()));
}

Var TransformerLm::target_log_probabilities(const Tensor& tokens, const Tensor& targets) {
  const ErrorScope scope(*this);
  return adaptive_softmax_.target_log_probabilities(
      features(tokens), device() == Device::meta() ? targets : targets.to(Device::cpu()));
}

Var TransformerLm::next_log_probabilities(const Tensor& tokens) {
  const ErrorScope scope(*this);
  const Var x = features(tokens);
  return adaptive_softmax_.log_probabilities(
      reshape(slice(x, 1, x.dim(1) - 1, x.dim(1)), {x.dim(0), x.dim(2)}));
}

}  // namespace lathe
