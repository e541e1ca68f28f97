#pragma once
// Multi-head self-attention (Vaswani et al. 2017, section 3.2.2).

#include <functional>
#include <memory>

#include "autograd/ops/attention.h"
#include "layers/dropout.h"
#include "layers/linear.h"

namespace lathe {

/// attention() (autograd/ops/attention.h) made of other ops, which keep (N, heads, T, S) numbers several
/// times; `probabilities` maps them, (N, heads, T, S), on their way. `bias` is added to the scores unless it
/// is undefined. A query that sees no key has probabilities and gradients of zero, as there.
Var composed_attention(const Var& q, const Var& k, const Var& v, const AttentionOptions& options,
                       const std::function<Var(const Var&)>& probabilities, const Var& bias = {});

struct SelfAttentionOptions {
  int64_t heads = 1;
  double scale = 0;     ///< of the scores; 0: 1 / sqrt(width / heads)
  bool causal = false;  ///< a position sees itself and what is before it
  double dropout = 0;   ///< of the probabilities
  LinearOptions qkv = {}, out = {};
  const char* qkv_name = "qkv";
  const char* out_name = "proj";  ///< or "module.name" for a projection inside a module of its own
};

/// What stands between an attention layer's projections: its sites "q", "k", "v" and "probabilities", its
/// dropout "attn_drop" and the products.
class AttentionProducts {
 public:
  /// Members of `layer`. ConfigError unless heads divide width. A scale of 0 is 1 / sqrt(width / heads).
  AttentionProducts(Module& layer, int64_t width, int64_t heads, double scale, bool causal, double dropout);

  /// qkv (N, T, 3 width), thirds [q | k | v][head][width / heads]; bias (heads, T, T), added to the scores,
  /// or undefined -> (N, T, width).
  Var operator()(const Var& qkv, const Var& bias = {}) const;

 private:
  int64_t width_, heads_;
  double scale_;
  bool causal_;
  Dropout dropout_;
  QuantSite q_, k_, v_, probabilities_;
};

/// out(softmax(scale q k^T) v), heads side by side; q, k, v are thirds of qkv(x), each [head][width / heads].
/// Before the two products stand the sites "q", "k", "v" and "probabilities". The fused op never has the
/// probabilities in memory: with a quantizer there, or their dropout in training, it is composed of ops and
/// keeps (N, heads, T, T) numbers several times.
class SelfAttention : public Module {
 public:
  /// ConfigError unless heads divide width.
  SelfAttention(Module& parent, std::string name, int64_t width, const SelfAttentionOptions& options);
  const char* type() const override { return "SelfAttention"; }

  /// (N, T, width) -> (N, T, width), plus `residual` of that shape unless it is undefined.
  Var operator()(const Var& x, const Var& residual = {});

 private:
  int64_t width_;
  Linear qkv_;
  std::unique_ptr<Module> out_parent_;  // of a dotted out_name
  Linear out_;
  AttentionProducts products_;
};

}  // namespace lathe
