#include "layers/decoder.h"

#include <cmath>

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"

namespace lathe {
namespace {

LinearOptions input_projection(int64_t width) {
  return {.weight_init = init::xavier_uniform(width, width, 1 / std::sqrt(2.0))};
}

LinearOptions output_projection(int64_t width) {
  return {.weight_init = init::xavier_uniform(width, width), .bias_init = init::constant(0)};
}

int64_t checked_heads(const Module& layer, int64_t width, int64_t heads) {
  LATHE_CHECK(ConfigError, heads > 0 && width % heads == 0, layer.describe(), ": ", heads,
              " heads do not divide a width of ", width);
  return heads;
}

}  // namespace

DecoderAttention::DecoderAttention(Module& parent, std::string name, int64_t width, int64_t heads,
                                   double dropout)
    : Module(parent, std::move(name)),
      heads_(checked_heads(*this, width, heads)),
      k_proj_(*this, "k_proj", width, width, input_projection(width)),
      v_proj_(*this, "v_proj", width, width, input_projection(width)),
      q_proj_(*this, "q_proj", width, width, input_projection(width)),
      out_proj_(*this, "out_proj", width, width, output_projection(width)),
      dropout_(*this, "attn_drop", dropout),
      q_(*this, "q"),
      k_(*this, "k"),
      v_(*this, "v"),
      probabilities_(*this, "probabilities") {}

Var DecoderAttention::operator()(const Var& x, const Tensor& key_padding, const Var& residual) {
  const ErrorScope scope(*this);
  const auto split = [&](const Var& y) {
    return reshape(y, {x.dim(0), x.dim(1), heads_, x.dim(2) / heads_});
  };
  const Var q = q_(split(q_proj_(x))), k = k_(split(k_proj_(x))), v = v_(split(v_proj_(x)));
  const AttentionOptions seen{.causal = true, .key_padding = key_padding};
  const bool open = dropout_.active() || probabilities_.attached() != nullptr;
  const Var y =
      open ? composed_attention(q, k, v, seen, [this](const Var& p) { return probabilities_(dropout_(p)); })
           : attention(q, k, v, seen);
  return out_proj_.fused(reshape(y, x.shape()), false, residual);
}

DecoderLayer::DecoderLayer(Module& parent, std::string name, const DecoderLayerOptions& options)
    : Module(parent, std::move(name)),
      gelu_(options.gelu),
      self_attn_(*this, "self_attn", options.width, options.heads, options.attention_dropout),
      self_attn_layer_norm_(*this, "self_attn_layer_norm", options.width),
      fc1_(*this, "fc1", options.width, options.hidden),
      fc2_(*this, "fc2", options.hidden, options.width),
      final_layer_norm_(*this, "final_layer_norm", options.width),
      drop1_(*this, "drop1", options.dropout),
      drop2_(*this, "drop2", options.dropout),
      activation_drop_(*this, "activation_drop", options.activation_dropout) {}

Var DecoderLayer::operator()(const Var& x, const Tensor& key_padding) {
  const ErrorScope scope(*this);
  const Var normed = self_attn_layer_norm_(x);
  const Var y = drop1_.active() ? add(x, drop1_(self_attn_(normed, key_padding, {})))
                                : self_attn_(normed, key_padding, x);
  const Var in = fc1_(final_layer_norm_(y));
  const Var hidden = activation_drop_(gelu_ ? gelu(in) : relu(in));
  return drop2_.active() ? add(y, drop2_(fc2_(hidden))) : fc2_.fused(hidden, false, y);
}

}  // namespace lathe
