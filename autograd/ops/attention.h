#pragma once
#include "autograd/var.h"

namespace lathe {

struct AttentionOptions {
  double scale = 0;     ///< 0: 1 / sqrt(head dimension)
  bool causal = false;  ///< query t sees keys up to t (aligned at the end when lengths differ)
  Tensor key_padding;   ///< (N, S) u8, non-zero: the key is padding and not seen; or undefined
};
/// softmax(scale q k^T + bias, masked) v. q (N, T, heads, d), k (N, S, heads, d), v (N, S, heads, dv) -> (N,
/// T, heads, dv); bias (heads, T, S) or undefined. A query that sees no key, for `causal` and padding, yields
/// zeros; one whose scores are all -inf otherwise (by overflow, or by the bias) yields NaN, as NaN scores do.
Var attention(const Var& q, const Var& k, const Var& v, const AttentionOptions& options = {},
              const Var& bias = {});

/// The same of one tensor qkv (N, T, 3 heads d), whose rows are those of q, k and v one after the other, each
/// head by head, without copies of them -> (N, T, heads d).
Var packed_attention(const Var& qkv, int64_t heads, const AttentionOptions& options = {},
                     const Var& bias = {});

}  // namespace lathe
