#include "layers/transformer.h"

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"

namespace lathe {

FeedForward::FeedForward(Module& parent, std::string name, int64_t width, const FeedForwardOptions& options)
    : Module(parent, std::move(name)),
      gelu_tanh_(options.gelu_tanh),
      in_(*this, options.in_name, width, options.hidden, options.in),
      out_(*this, options.out_name, options.hidden, width, options.out),
      dropout_(*this, "drop", options.dropout) {}

Var FeedForward::operator()(const Var& x, const Var& residual) {
  const ErrorScope scope(*this);
  const Var hidden = in_(x);
  if (!gelu_tanh_ && !dropout_.active()) return out_.fused(hidden, true, residual);
  return out_.fused(dropout_(gelu_tanh_ ? lathe::gelu_tanh(hidden) : gelu(hidden)), false, residual);
}

TransformerBlock::TransformerBlock(Module& parent, std::string name, const TransformerBlockOptions& options)
    : Module(parent, std::move(name)),
      norm1_(*this, options.norm1_name, options.width, options.norm),
      attention_(*this, "attn", options.width, options.attention),
      norm2_(*this, options.norm2_name, options.width, options.norm),
      feed_forward_(*this, "mlp", options.width, options.feed_forward),
      drop1_(*this, "drop1", options.dropout),
      drop2_(*this, "drop2", options.dropout),
      drop_path1_(*this, "drop_path1", options.drop_path),
      drop_path2_(*this, "drop_path2", options.drop_path) {}

Var TransformerBlock::operator()(const Var& x) {
  const ErrorScope scope(*this);
  // The sum is part of a branch's last product unless something is dropped in between.
  const Var y = drop1_.active() || drop_path1_.active() ? add(x, drop_path1_(drop1_(attention_(norm1_(x)))))
                                                        : attention_(norm1_(x), x);
  return drop2_.active() || drop_path2_.active() ? add(y, drop_path2_(drop2_(feed_forward_(norm2_(y)))))
                                                 : feed_forward_(norm2_(y), y);
}

Var prepend_tokens(const std::vector<Var>& tokens, const Var& x) {
  const Var zeros(Tensor::zeros({x.dim(0), 1, x.dim(2)}, x.dtype(), x.data().device()));
  std::vector<Var> parts;
  for (const Var& token : tokens) parts.push_back(add(zeros, token));
  parts.push_back(x);
  return concat(parts, 1);
}

Var token_at(const Var& x, int64_t i) {
  return reshape(slice(x, 1, i, i + 1), {x.dim(0), x.dim(2)});
}

}  // namespace lathe
