// Golden attention blocks: projections around the attention op.

#include "autograd/ops/attention.h"
#include "autograd/ops/embedding.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "tests/golden/ops.h"

namespace lathe::golden {
namespace {

// (N, T, width) -> (N, T, heads, width / heads)
Var split_heads(const Var& x, int64_t heads) {
  return reshape(x, {x.dim(0), x.dim(1), heads, x.dim(2) / heads});
}
Var join_heads(const Var& x) {
  return reshape(x, {x.dim(0), x.dim(1), x.dim(2) * x.dim(3)});
}

// The attention probabilities: what the op returns when the values are the unit vectors. (N, T, heads, S)
Var probabilities(const Var& q, const Var& k, const AttentionOptions& options) {
  const int64_t keys = k.dim(1), heads = k.dim(2);
  Tensor unit = Tensor::zeros({k.dim(0), keys, heads, keys}, DType::F64);
  double* u = unit.mut<double>();
  for (int64_t row = 0; row < k.dim(0) * keys * heads; ++row) u[row * keys + row / heads % keys] = 1;
  return attention(q, k, Var(unit.to(q.dtype())), options);
}

void run_multi_head(OpRun& run) {
  if (run.text("layout", "(T,B,E)") != "(T,B,E)")
    throw Unsupported("multi_head_attention with another layout");
  const Layout time_first{1, 0, 2};
  const int64_t width = run.integer("embed_dim"), heads = run.integer("num_heads");
  const Var query = run.input("query", time_first);
  const Var key = run.has_input("key") ? run.input("key", time_first) : query;
  const Var value = run.has_input("value") ? run.input("value", time_first) : key;
  const Var weight = run.input("in_proj_weight"), bias = run.optional("in_proj_bias");
  const auto project = [&](const Var& x, int64_t part) {
    const Var rows = slice(weight, 0, part * width, (part + 1) * width);
    return split_heads(
        linear(x, rows, bias.defined() ? slice(bias, 0, part * width, (part + 1) * width) : Var()), heads);
  };
  AttentionOptions options{.causal = run.boolean("causal", false), .key_padding = {}};
  if (run.has_input("key_padding_mask")) options.key_padding = run.flags("key_padding_mask");
  const Var q = project(query, 0), k = project(key, 1), v = project(value, 2);
  const Var out_weight = run.input("out_proj_weight"), out_bias = run.optional("out_proj_bias");
  run.output("y", linear(join_heads(attention(q, k, v, options)), out_weight, out_bias), time_first);
  const NoGrad no_grad;
  run.output("attn_avg", mean(probabilities(q, k, options), {.axes = {2}}));
}

// Three blocks of rows, q then k then v, each all heads.
Var blocks_attention(const Var& qkv, int64_t heads, const AttentionOptions& options) {
  const int64_t width = qkv.dim(2) / 3;
  const auto part = [&](int64_t i) { return split_heads(slice(qkv, 2, i * width, (i + 1) * width), heads); };
  return join_heads(attention(part(0), part(1), part(2), options));
}

void run_fused_qkv(OpRun& run) {
  const Var x = run.input("x"), w = run.input("qkv_weight"), b = run.optional("qkv_bias");
  const Var qkv = linear(x, w, b);
  const Var y = blocks_attention(qkv, run.integer("num_heads"), {.key_padding = {}});
  const Var proj = run.input("proj_weight"), proj_bias = run.optional("proj_bias");
  run.output("y", linear(y, proj, proj_bias));
}

void run_causal(OpRun& run) {
  const Var x = run.input("x"), w = run.input("c_attn_weight"), b = run.optional("c_attn_bias");
  const Var qkv = linear(x, w, b);
  const Var y = blocks_attention(qkv, run.integer("num_heads"), {.causal = true, .key_padding = {}});
  const Var proj = run.input("c_proj_weight"), proj_bias = run.optional("c_proj_bias");
  run.output("y", linear(y, proj, proj_bias));
}

// Each head has its own block of q, k and v rows; a bias per head and offset is added to the scores.
void run_relative_bias(OpRun& run) {
  const Var x = run.input("x"), w = run.input("qkv_weight"), b = run.optional("qkv_bias");
  const int64_t heads = run.integer("num_heads"), key_dim = run.integer("key_dim");
  run.integers("window", 2, 0);  // bias_index says the same
  const Var qkv = split_heads(linear(x, w, b), heads);
  const Var q = slice(qkv, 3, 0, key_dim), k = slice(qkv, 3, key_dim, 2 * key_dim);
  const Var v = slice(qkv, 3, 2 * key_dim, -1);
  std::vector<int64_t> index;
  for (const Value& row : run.attr("bias_index").items()) {
    for (const Value& offset : row.items()) index.push_back(offset.as_int());
  }
  const int64_t points = x.dim(1);
  const Var biases = permute(run.input("biases"), {1, 0});  // (offsets, heads)
  const Var bias = permute(embedding(biases, Tensor::from(index, {points, points})), {2, 0, 1});
  const Var y = join_heads(attention(q, k, v, {.key_padding = {}}, bias));
  const Var proj = run.input("proj_weight"), proj_bias = run.optional("proj_bias");
  run.output("y", linear(y, proj, proj_bias));
}

}  // namespace

OpRows attention_rows() {
  return {{"multi_head_attention", run_multi_head},
          {"attention_qkv_fused", run_fused_qkv},
          {"causal_self_attention", run_causal},
          {"attention_relpos_bias", run_relative_bias}};
}

}  // namespace lathe::golden
