#include "layers/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"

namespace lathe {
namespace {

int64_t checked_heads(const Module& layer, int64_t width, int64_t heads) {
  LATHE_CHECK(ConfigError, heads > 0 && width > 0 && width % heads == 0, layer.describe(), ": ", heads,
              " heads do not divide a width of ", width);
  return heads;
}

// Of "to_out.0" the module "to_out" and the name "0"; of a plain name nothing and itself.
std::unique_ptr<Module> parent_of(Module& layer, const std::string& name) {
  const size_t dot = name.find('.');
  return dot == std::string::npos ? nullptr : std::make_unique<Module>(layer, name.substr(0, dot));
}
std::string leaf_of(const std::string& name) {
  return name.substr(name.find('.') + 1);
}

// (N, T, heads, d) <-> (N, heads, T, d)
Var swap_heads(const Var& x) {
  return permute(x, {0, 2, 1, 3});
}

// What hides keys from queries.
struct Mask {
  Var added;  // to scores (N, heads, T, S): -inf where a key is not seen
  Var share;  // of probabilities, (N, 1, T, 1): 0 for a query that sees no key; undefined where there is none
};

Mask mask_of(const Var& q, const Var& k, const AttentionOptions& options) {
  const int64_t queries = q.dim(1), keys = k.dim(1);
  const bool padded = options.key_padding.defined();
  const int64_t n = padded ? q.dim(0) : 1;
  Tensor added = Tensor::zeros({n, 1, queries, keys}, DType::F64);
  Tensor share = Tensor::full({n, 1, queries, 1}, 1, DType::F64);
  const Tensor padding = padded ? options.key_padding.to(Device::cpu()) : Tensor();
  bool blind = false;
  double* m = added.mut<double>();
  for (int64_t row = 0; row < n * queries; ++row, m += keys) {
    const int64_t i = row / queries, last = row % queries + keys - queries;
    int64_t hidden = 0;
    for (int64_t s = 0; s < keys; ++s) {
      const bool hides =
          (options.causal && s > last) || (padded && padding.ptr<uint8_t>()[i * keys + s] != 0);
      if (hides) m[s] = -std::numeric_limits<double>::infinity();
      hidden += hides ? 1 : 0;
    }
    if (hidden < keys) continue;
    std::fill_n(m, keys, 0.0);  // the softmax of -inf alone is NaN, which no share takes away
    share.mut<double>()[row] = 0;
    blind = true;
  }
  const auto like_q = [&](const Tensor& x) { return Var(x.to(q.dtype()).to(q.data().device())); };
  return {like_q(added), blind ? like_q(share) : Var()};
}

}  // namespace

Var composed_attention(const Var& q, const Var& k, const Var& v, const AttentionOptions& options,
                       const std::function<Var(const Var&)>& probabilities, const Var& bias) {
  Var scores = scale(matmul(swap_heads(q), swap_heads(k), {.transpose_b = true}),
                     options.scale != 0 ? options.scale : 1 / std::sqrt(static_cast<double>(q.dim(3))));
  if (bias.defined()) scores = add(scores, bias);
  Mask mask;
  if (options.causal || options.key_padding.defined()) mask = mask_of(q, k, options);
  if (mask.added.defined()) scores = add(scores, mask.added);
  Var seen = softmax(scores);
  if (mask.share.defined()) seen = mul(seen, mask.share);
  return swap_heads(matmul(probabilities(seen), swap_heads(v)));
}

AttentionProducts::AttentionProducts(Module& layer, int64_t width, int64_t heads, double scale, bool causal,
                                     double dropout)
    : width_(width),
      heads_(checked_heads(layer, width, heads)),
      scale_(scale != 0 ? scale : 1 / std::sqrt(static_cast<double>(width) / static_cast<double>(heads))),
      causal_(causal),
      dropout_(layer, "attn_drop", dropout),
      q_(layer, "q"),
      k_(layer, "k"),
      v_(layer, "v"),
      probabilities_(layer, "probabilities") {}

Var AttentionProducts::operator()(const Var& qkv, const Var& bias) const {
  const AttentionOptions options{.scale = scale_, .causal = causal_, .key_padding = {}};
  const bool quantized = q_.attached() != nullptr || k_.attached() != nullptr || v_.attached() != nullptr ||
                         probabilities_.attached() != nullptr;
  if (!quantized && !dropout_.active()) return packed_attention(qkv, heads_, options, bias);
  const auto third = [&](int64_t i) {
    return reshape(slice(qkv, 2, i * width_, (i + 1) * width_),
                   {qkv.dim(0), qkv.dim(1), heads_, width_ / heads_});
  };
  const Var q = q_(third(0)), k = k_(third(1)), v = v_(third(2));
  const Var y =
      dropout_.active() || probabilities_.attached() != nullptr
          ? composed_attention(
                q, k, v, options, [this](const Var& p) { return probabilities_(dropout_(p)); }, bias)
          : attention(q, k, v, options, bias);
  return reshape(y, {qkv.dim(0), qkv.dim(1), width_});
}

SelfAttention::SelfAttention(Module& parent, std::string name, int64_t width,
                             const SelfAttentionOptions& options)
    : Module(parent, std::move(name)),
      width_(width),
      qkv_(*this, options.qkv_name, width, 3 * width, options.qkv),
      out_parent_(parent_of(*this, options.out_name)),
      out_(out_parent_ ? *out_parent_ : *this, leaf_of(options.out_name), width, width, options.out),
      products_(*this, width, options.heads, options.scale, options.causal, options.dropout) {}

Var SelfAttention::operator()(const Var& x, const Var& residual) {
  const ErrorScope scope(*this);
  LATHE_CHECK(ShapeError, x.shape().rank() == 3 && x.dim(2) == width_, describe(), ": expected (N, T, ",
              width_, "), found ", x.shape());
  return out_.fused(products_(qkv_(x)), false, residual);
}

}  // namespace lathe
