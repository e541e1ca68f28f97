#pragma once
// Attention of one head, compiled per instruction set (core/cpu/isa/attention.cpp).

#include <cstdint>

#include "core/cpu/isa.h"
#include "core/kernels/attention_math.h"

namespace lathe::cpu {

/// One head of one sample. Rows of q, k and v lie their steps apart, so that they may be thirds of one
/// tensor.
template <class T>
struct AttentionHead {
  int64_t queries = 0, keys = 0;
  int64_t d = 0, dv = 0;  // of a row of q and k, and of v
  const T *q = nullptr, *k = nullptr, *v = nullptr;
  int64_t q_step = 0, k_step = 0, v_step = 0;
  T scale = 1;
  bool causal = false;      // query t sees the keys s < t + 1 + keys - queries
  const T* bias = nullptr;  // (queries, keys) or null
  const T* mask = nullptr;  // added to every row: 0 or -inf per key; or null
  int64_t block = 1;        // queries whose scores are held at once

  /// Keys that query t sees.
  int64_t seen(int64_t t) const { return math::keys_seen(t, queries, keys, causal); }
  /// First query that sees key s.
  int64_t first_query(int64_t s) const {
    const int64_t first = causal ? s + queries - keys : 0;
    return first < 0 ? 0 : first;
  }
};

/// Elements of scratch that the passes need for a head.
constexpr int64_t attention_scratch_size(int64_t keys, int64_t d, int64_t dv, int64_t block) {
  const int64_t columns = (keys + 31) / 32 * 32, wide = (d > dv ? d : dv) + 32;
  return columns * 3 * wide + 2 * block * wide + 2 * (block + 12) * (columns + 32) + block + 64;
}

/// Rows [lo, hi) of y, y_step apart, and of lse: y = softmax(scale q k^T + bias + mask) v, lse the logarithm
/// of each row's sum of exponentials; zeros and +inf for a query that sees no key. y and lse are row 0's.
template <class T>
struct AttentionForward {
  T* y = nullptr;
  int64_t y_step = 0;
  T* lse = nullptr;
  int64_t lo = 0, hi = 0;
  bool next = false;  // the same sample's next head follows: fetch it
  T* scratch = nullptr;
};
LATHE_ISA_FUNCTION(void, attention_forward_f32, const AttentionHead<float>& head,
                   const AttentionForward<float>& to);
LATHE_ISA_FUNCTION(void, attention_forward_f64, const AttentionHead<double>& head,
                   const AttentionForward<double>& to);

/// Gradients have the steps of q, k and v; null: not wanted. dbias (queries, keys) is added to.
template <class T>
struct AttentionBackward {
  T *dq = nullptr, *dk = nullptr, *dv = nullptr, *dbias = nullptr;
  const T *dy = nullptr, *y = nullptr, *lse = nullptr;
  int64_t y_step = 0;
  bool next = false;
  T* scratch = nullptr;
};
LATHE_ISA_FUNCTION(void, attention_backward_f32, const AttentionHead<float>& head,
                   const AttentionBackward<float>& to);
LATHE_ISA_FUNCTION(void, attention_backward_f64, const AttentionHead<double>& head,
                   const AttentionBackward<double>& to);

}  // namespace lathe::cpu
