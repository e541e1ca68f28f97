#pragma once
// What transformers are built of besides attention.

#include "layers/attention.h"
#include "layers/norm.h"

namespace lathe {

struct FeedForwardOptions {
  int64_t hidden = 1;
  double dropout = 0;      ///< of the hidden activations
  bool gelu_tanh = false;  ///< the tanh form of gelu
  LinearOptions in = {}, out = {};
  const char* in_name = "fc1";
  const char* out_name = "fc2";
};

/// out(dropout(gelu(in(x)))), position by position.
class FeedForward : public Module {
 public:
  FeedForward(Module& parent, std::string name, int64_t width, const FeedForwardOptions& options);
  const char* type() const override { return "FeedForward"; }

  /// (..., width) -> (..., width), plus `residual` of that shape unless it is undefined.
  Var operator()(const Var& x, const Var& residual = {});

 private:
  bool gelu_tanh_;
  Linear in_, out_;
  Dropout dropout_;
};

struct TransformerBlockOptions {
  int64_t width = 1;
  LayerNormConfig norm = {};
  SelfAttentionOptions attention = {};
  FeedForwardOptions feed_forward = {};
  double dropout = 0;    ///< of what each branch adds
  double drop_path = 0;  ///< of each branch, per sample
  const char* norm1_name = "norm1";
  const char* norm2_name = "norm2";
};

/// Pre-norm: x + attn(norm1(x)), then x + mlp(norm2(x)).
class TransformerBlock : public Module {
 public:
  TransformerBlock(Module& parent, std::string name, const TransformerBlockOptions& options);
  const char* type() const override { return "TransformerBlock"; }

  Var operator()(const Var& x);  ///< (N, T, width) -> (N, T, width)

 private:
  LayerNorm norm1_;
  SelfAttention attention_;
  LayerNorm norm2_;
  FeedForward feed_forward_;
  Dropout drop1_, drop2_;
  DropPath drop_path1_, drop_path2_;
};

/// The same learned tokens before every sample: tokens (1, 1, width) each, x (N, T, width) -> (N, tokens + T,
/// width).
Var prepend_tokens(const std::vector<Var>& tokens, const Var& x);
/// Token i of each sample: (N, T, width) -> (N, width).
Var token_at(const Var& x, int64_t i);

}  // namespace lathe
