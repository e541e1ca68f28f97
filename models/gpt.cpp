#include "models/gpt.h"

#include <cmath>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"

namespace lathe {
namespace {

constexpr double kStd = 0.02;

LinearOptions linear_options(const GptOptions& options, double std) {
  return {.bias = options.bias, .weight_init = init::normal(std), .bias_init = init::constant(0)};
}

TransformerBlockOptions block_options(const GptOptions& options) {
  const double branch_std = kStd / std::sqrt(2 * static_cast<double>(options.layers));
  const LinearOptions in = linear_options(options, kStd), out = linear_options(options, branch_std);
  return {.width = options.width,
          .norm = {.bias = options.bias},
          .attention = {.heads = options.heads,
                        .causal = true,
                        .dropout = options.dropout,
                        .qkv = in,
                        .out = out,
                        .qkv_name = "c_attn",
                        .out_name = "c_proj"},
          .feed_forward = {.hidden = 4 * options.width,
                           .gelu_tanh = options.activation == "gelu_tanh",
                           .in = in,
                           .out = out,
                           .in_name = "c_fc",
                           .out_name = "c_proj"},
          .dropout = options.dropout,
          .norm1_name = "ln_1",
          .norm2_name = "ln_2"};
}

}  // namespace

Gpt::Gpt(const GptOptions& options, const RootOptions& root)
    : LanguageModel(root),
      options_(options),
      transformer_(*this, "transformer"),
      wte_(transformer_, "wte", options.vocab, options.width, {.weight_init = init::normal(kStd)}),
      wpe_(transformer_, "wpe", options.context, options.width, {.weight_init = init::normal(kStd)}),
      drop_(transformer_, "drop", options.dropout),
      h_(transformer_, "h"),
      ln_f_(transformer_, "ln_f", options.width, {.bias = options.bias}),
      lm_head_(*this, "lm_head", options.width, options.vocab,
               {.bias = false, .weight_init = options.tied ? init::constant(0) : init::normal(kStd)}) {
  for (int64_t i = 0; i < options.layers; ++i) h_.emplace(block_options(options));
  if (options.tied) lm_head_.weight().tie(wte_.weight());
}

Var Gpt::logits(const Tensor& tokens) {
  expect_tokens(tokens);
  const int64_t length = tokens.dim(1);
  const Var positions = cast(slice(wpe_.weight().value(), 0, 0, length), activation_dtype());
  Var x = drop_(add(wte_(tokens), positions));
  for (const auto& block : h_) x = (*block)(x);
  return lm_head_(ln_f_(x));
}

}  // namespace lathe
