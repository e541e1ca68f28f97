#include "autograd/ops/attention.h"

#include "autograd/op_cases.h"

namespace lathe {
namespace {

struct AttentionRow {
  int64_t samples = 2, queries = 5, keys = 5, heads = 2, d = 3, dv = 3;
  bool causal = false, padding = false, bias = false;
  double scale = 0;
};

/// Of sample n the last n keys are padding, at most all of them.
Tensor padding_of(const AttentionRow& row) {
  std::vector<uint8_t> padding;
  for (int64_t n = 0; n < row.samples; ++n) {
    for (int64_t s = 0; s < row.keys; ++s) padding.push_back(s + n >= row.keys ? 1 : 0);
  }
  return Tensor::from(padding, {row.samples, row.keys});
}

OpCase attend(std::string name, const AttentionRow& row) {
  const auto [samples, queries, keys, heads, d, dv, causal, padding, bias, scale] = row;
  OpCase result{.name = "attention " + name,
                .inputs = {{{samples, queries, heads, d}, -2, 2},
                           {{samples, keys, heads, d}, -2, 2},
                           {{samples, keys, heads, dv}}},
                .apply = [row](const std::vector<Var>& in) {
                  AttentionOptions options{.scale = row.scale, .causal = row.causal, .key_padding = {}};
                  if (row.padding) options.key_padding = padding_of(row).to(in[0].data().device());
                  return attention(in[0], in[1], in[2], options, row.bias ? in[3] : Var());
                }};
  if (bias) result.inputs.push_back({{heads, queries, keys}});
  return result;
}

OpCase attend_packed(std::string name, const Shape& qkv, int64_t heads, AttentionOptions options) {
  return {.name = "packed_attention " + name,
          .inputs = {{qkv, -2, 2}},
          .apply = [heads, options](const std::vector<Var>& in) {
            AttentionOptions here = options;
            if (here.key_padding.defined()) here.key_padding = here.key_padding.to(in[0].data().device());
            return packed_attention(in[0], heads, here);
          }};
}

OpCase attend_packed_biased(std::string name, const Shape& qkv, int64_t heads) {
  return {.name = "packed_attention " + name,
          .inputs = {{qkv, -2, 2}, {{heads, qkv[1], qkv[1]}}},
          .apply = [heads](const std::vector<Var>& in) {
            return packed_attention(in[0], heads, {.key_padding = {}}, in[1]);
          }};
}

}  // namespace

std::vector<OpCase> attention_cases() {
  return {
      attend("self", {}),
      attend("one query and key", {.queries = 1, .keys = 1}),
      attend("odd sizes", {.samples = 1, .queries = 7, .keys = 19, .heads = 3, .d = 5, .dv = 2}),
      attend("causal", {.causal = true}),
      attend("causal, more keys", {.queries = 3, .keys = 7, .causal = true}),
      attend("causal, more queries", {.queries = 7, .keys = 3, .causal = true}),
      attend("padding", {.samples = 3, .padding = true}),
      attend("padding of every key", {.samples = 3, .queries = 2, .keys = 2, .padding = true}),
      attend("causal, padding", {.causal = true, .padding = true}),
      attend("bias", {.samples = 3, .bias = true}),
      attend("bias, more samples than groups", {.samples = 10, .queries = 2, .keys = 3, .bias = true}),
      attend("bias, causal, padding, scale",
             {.queries = 4, .keys = 6, .causal = true, .padding = true, .bias = true, .scale = 0.3}),
      attend("several blocks", {.samples = 1, .queries = 101, .keys = 17, .heads = 1}),
      attend("several blocks, causal",
             {.samples = 1, .queries = 101, .keys = 101, .heads = 1, .causal = true, .bias = true}),
      attend_packed("self", {2, 5, 12}, 2, {}),
      attend_packed("causal, padding, scale", {3, 7, 27}, 3,
                    {.scale = 0.3, .causal = true, .key_padding = padding_of({.samples = 3, .keys = 7})}),
      attend_packed("as many samples as tasks", {17, 4, 12}, 2, {.causal = true, .key_padding = {}}),
      attend_packed("several blocks", {1, 101, 6}, 1, {.causal = true, .key_padding = {}}),
      attend_packed_biased("bias", {3, 5, 12}, 2),
      attend_packed_biased("bias, more samples than groups", {10, 4, 9}, 1),
      attend_packed("no samples", {0, 5, 12}, 2, {}),
      attend_packed("no tokens", {2, 0, 12}, 2, {}),
      attend("no samples", {.samples = 0}),
      attend("no queries", {.queries = 0}),
      attend("no keys", {.keys = 0}),
  };
}

}  // namespace lathe
