#pragma once
// The decoder layer of fairseq's language models: separate projections, relu, dropout after it.

#include "layers/attention.h"
#include "layers/norm.h"

namespace lathe {

struct DecoderLayerOptions {
  int64_t width = 1;
  int64_t heads = 1;
  int64_t hidden = 1;             ///< of the feed-forward part
  bool gelu = false;              ///< instead of relu
  double dropout = 0;             ///< of what each branch adds
  double attention_dropout = 0;   ///< of the attention probabilities
  double activation_dropout = 0;  ///< behind the activation function
};

/// Causal self-attention with biased projections "k_proj" "v_proj" "q_proj" "out_proj", in the order of
/// fairseq's state dicts. Keys, values and queries from xavier_uniform with a gain of 1 / sqrt 2, as for one
/// projection of all three.
class DecoderAttention : public Module {
 public:
  /// ConfigError unless heads divide width.
  DecoderAttention(Module& parent, std::string name, int64_t width, int64_t heads, double dropout);
  const char* type() const override { return "DecoderAttention"; }

  /// (N, T, width) -> (N, T, width), plus `residual` unless that is undefined. key_padding (N, T) u8 or
  /// undefined.
  Var operator()(const Var& x, const Tensor& key_padding, const Var& residual);

 private:
  int64_t heads_;
  Linear k_proj_, v_proj_, q_proj_, out_proj_;
  Dropout dropout_;
  QuantSite q_, k_, v_, probabilities_;
};

/// Pre-norm: x + attention(norm(x)), then x + fc2(activation(fc1(norm(x)))).
class DecoderLayer : public Module {
 public:
  DecoderLayer(Module& parent, std::string name, const DecoderLayerOptions& options);
  const char* type() const override { return "DecoderLayer"; }

  Var operator()(const Var& x, const Tensor& key_padding);  ///< (N, T, width) -> (N, T, width)

 private:
  bool gelu_;
  DecoderAttention self_attn_;
  LayerNorm self_attn_layer_norm_;
  Linear fc1_, fc2_;
  LayerNorm final_layer_norm_;
  Dropout drop1_, drop2_, activation_drop_;
};

}  // namespace lathe
