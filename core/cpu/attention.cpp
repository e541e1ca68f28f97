#include "core/kernels/attention.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/cpu/by_type.h"
#include "core/cpu/gemm.h"
#include "core/cpu/isa_attention.h"
#include "core/parallel.h"

namespace lathe::kernels::cpu {
namespace {

using lathe::cpu::by_type;
using lathe::cpu::GemmShape;
using lathe::cpu::ScoreBlock;
using lathe::cpu::serial_gemm;

// Queries whose scores are held at once: enough for an efficient product, few enough for a core's cache.
constexpr int64_t kMostQueries = 96;
// Groups of samples that the bias gradient is summed over.
constexpr int64_t kBiasGroups = 8;

struct Geometry {
  int64_t samples, queries, keys, heads, d, dv;
  int64_t block;   // queries per block
  int64_t blocks;  // per sample and head
  AttentionFlags flags;

  Geometry(const Tensor& q, const Tensor& v, const AttentionFlags& given)
      : samples(q.dim(0)),
        queries(q.dim(1)),
        keys(v.dim(1)),
        heads(q.dim(2)),
        d(q.dim(3)),
        dv(v.dim(3)),
        block(std::max<int64_t>(
            1, chunk_count(queries, std::max<int64_t>(1, chunk_count(queries, kMostQueries))))),
        blocks(chunk_count(queries, block)),
        flags(given) {}

  /// First element of row `row` of sample n and head h in a (samples, rows, heads, width) tensor.
  int64_t at(int64_t n, int64_t rows, int64_t row, int64_t h, int64_t width) const {
    return ((n * rows + row) * heads + h) * width;
  }
};

/// One (sample, head) pair.
template <class T>
struct Head {
  const Geometry& geometry;
  int64_t n, h;
  const T *q, *k, *v;  // of sample 0, head 0
  const T* bias;       // (H, T, S) or null
  const T* mask;       // of the sample: S values, 0 or -inf; or null

  /// Scores of queries [lo, lo + rows): their shape, what they see and what is added to them.
  ScoreBlock<T> block(int64_t lo) const {
    const Geometry& g = geometry;
    ScoreBlock<T> b;
    b.rows = std::min(g.block, g.queries - lo);
    b.columns = g.keys;
    b.first_limit = g.keys;
    if (g.flags.causal) {
      b.first_limit = lo + 1 + g.keys - g.queries;
      b.columns = std::clamp<int64_t>(b.first_limit + b.rows - 1, 0, g.keys);
    }
    b.scale = static_cast<T>(g.flags.scale);
    b.bias = bias != nullptr ? bias + (h * g.queries + lo) * g.keys : nullptr;
    b.bias_stride = g.keys;
    b.mask = mask;
    return b;
  }
  const T* query(int64_t t) const { return q + geometry.at(n, geometry.queries, t, h, geometry.d); }
  const T* key() const { return k + geometry.at(n, geometry.keys, 0, h, geometry.d); }
  const T* value() const { return v + geometry.at(n, geometry.keys, 0, h, geometry.dv); }

  /// scores (rows, columns) = q k^T
  void scores(T* to, int64_t lo, const ScoreBlock<T>& b) const {
    const int64_t stride = geometry.heads * geometry.d;
    serial_gemm(to, query(lo), key(),
                GemmShape{.m = b.rows,
                          .n = b.columns,
                          .k = geometry.d,
                          .transpose_b = true,
                          .lda = stride,
                          .ldb = stride,
                          .ldc = b.columns});
  }
};

/// (N, S) of 0 and -inf; undefined without padding.
template <class T>
Tensor additive_mask(const Tensor& key_padding) {
  if (!key_padding.defined()) return {};
  Tensor mask = Tensor::empty(key_padding.shape(), dtype_of<T>());
  T* out = mask.mut<T>();
  const uint8_t* in = key_padding.ptr<uint8_t>();
  for (int64_t i = 0; i < mask.numel(); ++i) {
    out[i] = in[i] != 0 ? -std::numeric_limits<T>::infinity() : T{0};
  }
  return mask;
}

/// What the heads of one call share.
template <class T>
struct Inputs {
  Geometry geometry;
  const T *q, *k, *v, *bias;
  Tensor mask;

  Inputs(const Tensor& tq, const Tensor& tk, const Tensor& tv, const Tensor& key_padding, const Tensor& tbias,
         const AttentionFlags& flags)
      : geometry(tq, tv, flags),
        q(tq.ptr<T>()),
        k(tk.ptr<T>()),
        v(tv.ptr<T>()),
        bias(tbias.defined() ? tbias.ptr<T>() : nullptr),
        mask(additive_mask<T>(key_padding)) {}

  Head<T> head(int64_t n, int64_t h) const {
    return {geometry, n, h, q, k, v, bias, mask.defined() ? mask.ptr<T>() + n * geometry.keys : nullptr};
  }
};

template <class T>
void forward_block(T* y, T* lse, const Head<T>& head, int64_t lo) {
  const Geometry& g = head.geometry;
  const ScoreBlock<T> b = head.block(lo);
  Tensor scratch = Tensor::empty({b.rows, b.columns}, dtype_of<T>());
  T* p = scratch.mut<T>();
  head.scores(p, lo, b);
  by_type<T>(lathe::cpu::attention_softmax_f32, lathe::cpu::attention_softmax_f64)(
      p, lse + (head.n * g.heads + head.h) * g.queries + lo, b);
  serial_gemm(y + g.at(head.n, g.queries, lo, head.h, g.dv), p, head.value(),
              GemmShape{.m = b.rows,
                        .n = g.dv,
                        .k = b.columns,
                        .lda = b.columns,
                        .ldb = g.heads * g.dv,
                        .ldc = g.heads * g.dv});
}

/// Gradients of sample 0, head 0; null: not wanted.
template <class T>
struct Gradients {
  T *dq = nullptr, *dk = nullptr, *dv = nullptr;
  const T *dy = nullptr, *y = nullptr, *lse = nullptr;
};

/// rows of `width` values, `stride` apart
template <class T>
void clear_rows(T* to, int64_t rows, int64_t width, int64_t stride) {
  for (int64_t row = 0; row < rows; ++row) std::fill(to + row * stride, to + row * stride + width, T{0});
}

/// Adds the block's share of dk and dv, writes its rows of dq, adds to dbias (the head's first row) unless
/// null. With p the probabilities: dv = p^T dy, dp = dy v^T, ds = p (dp - rowsum(dy y)) (Dao et al. 2022).
template <class T>
void backward_block(const Gradients<T>& to, T* dbias, const Head<T>& head, int64_t lo) {
  const Geometry& g = head.geometry;
  const ScoreBlock<T> b = head.block(lo);
  const int64_t narrow = g.heads * g.d, wide = g.heads * g.dv;
  Tensor scratch = Tensor::empty({2 * b.rows * b.columns + b.rows}, dtype_of<T>());
  T* p = scratch.mut<T>();
  T *ds = p + b.rows * b.columns, *delta = ds + b.rows * b.columns;
  head.scores(p, lo, b);
  by_type<T>(lathe::cpu::attention_probabilities_f32, lathe::cpu::attention_probabilities_f64)(
      p, to.lse + (head.n * g.heads + head.h) * g.queries + lo, b);

  const int64_t y_at = g.at(head.n, g.queries, lo, head.h, g.dv);
  const T* dy = to.dy + y_at;
  GemmShape shape{.m = b.columns, .n = g.dv, .k = b.rows, .transpose_a = true, .accumulate = true};
  shape.lda = b.columns;
  shape.ldb = shape.ldc = wide;
  if (to.dv != nullptr) serial_gemm(to.dv + g.at(head.n, g.keys, 0, head.h, g.dv), p, dy, shape);
  if (to.dq == nullptr && to.dk == nullptr && dbias == nullptr) return;

  shape = {.m = b.rows, .n = b.columns, .k = g.dv, .transpose_b = true};
  shape.lda = shape.ldb = wide;
  shape.ldc = b.columns;
  serial_gemm(ds, dy, head.value(), shape);
  for (int64_t row = 0; row < b.rows; ++row) {
    delta[row] =
        by_type<T>(lathe::cpu::dot_f32, lathe::cpu::dot_f64)(dy + row * wide, to.y + y_at + row * wide, g.dv);
  }
  by_type<T>(lathe::cpu::attention_score_gradient_f32, lathe::cpu::attention_score_gradient_f64)(
      ds, dbias != nullptr ? dbias + lo * g.keys : nullptr, p, delta, b);

  shape = {.m = b.rows, .n = g.d, .k = b.columns};
  shape.lda = b.columns;
  shape.ldb = shape.ldc = narrow;
  if (to.dq != nullptr) serial_gemm(to.dq + g.at(head.n, g.queries, lo, head.h, g.d), ds, head.key(), shape);
  shape = {.m = b.columns, .n = g.d, .k = b.rows, .transpose_a = true, .accumulate = true};
  shape.lda = b.columns;
  shape.ldb = shape.ldc = narrow;
  if (to.dk != nullptr) {
    serial_gemm(to.dk + g.at(head.n, g.keys, 0, head.h, g.d), ds, head.query(lo), shape);
  }
}

template <class T>
void backward_head(const Gradients<T>& to, T* dbias, const Head<T>& head) {
  const Geometry& g = head.geometry;
  if (to.dk != nullptr) {
    clear_rows(to.dk + g.at(head.n, g.keys, 0, head.h, g.d), g.keys, g.d, g.heads * g.d);
  }
  if (to.dv != nullptr) {
    clear_rows(to.dv + g.at(head.n, g.keys, 0, head.h, g.dv), g.keys, g.dv, g.heads * g.dv);
  }
  for (int64_t lo = 0; lo < g.queries; lo += g.block) backward_block(to, dbias, head, lo);
}

}  // namespace

void attention_forward(Tensor& y, Tensor& lse, const Tensor& q, const Tensor& k, const Tensor& v,
                       const Tensor& key_padding, const Tensor& bias, const AttentionFlags& flags) {
  dispatch_floating(q.dtype(), "attention", [&]<class T>() {
    const Inputs<T> in(q, k, v, key_padding, bias, flags);
    const Geometry& g = in.geometry;
    T *out = y.mut<T>(), *lses = lse.mut<T>();
    parallel_for(g.samples * g.heads * g.blocks, 1, [&](int64_t task, int64_t) {
      const int64_t pair = task / g.blocks;
      forward_block(out, lses, in.head(pair / g.heads, pair % g.heads), task % g.blocks * g.block);
    });
  });
}

void attention_backward(Tensor& dq, Tensor& dk, Tensor& dv, Tensor& dbias, const Tensor& dy, const Tensor& q,
                        const Tensor& k, const Tensor& v, const Tensor& y, const Tensor& lse,
                        const Tensor& key_padding, const Tensor& bias, const AttentionFlags& flags) {
  dispatch_floating(q.dtype(), "attention", [&]<class T>() {
    const Inputs<T> in(q, k, v, key_padding, bias, flags);
    const Geometry& g = in.geometry;
    const Gradients<T> to{dq.defined() ? dq.mut<T>() : nullptr,
                          dk.defined() ? dk.mut<T>() : nullptr,
                          dv.defined() ? dv.mut<T>() : nullptr,
                          dy.ptr<T>(),
                          y.ptr<T>(),
                          lse.ptr<T>()};
    // A task is one head of one sample, or of one group of samples where they share a sum for dbias.
    const int64_t size = g.queries * g.keys;
    const int64_t group = std::max<int64_t>(1, dbias.defined() ? chunk_count(g.samples, kBiasGroups) : 1);
    const int64_t groups = chunk_count(g.samples, group);
    Tensor parts;
    if (dbias.defined()) parts = Tensor::zeros({groups, g.heads, size}, dtype_of<T>());
    T* part = parts.defined() ? parts.mut<T>() : nullptr;
    parallel_for(groups * g.heads, 1, [&](int64_t task, int64_t) {
      const int64_t first = task / g.heads * group, h = task % g.heads;
      for (int64_t n = first; n < std::min(first + group, g.samples); ++n) {
        backward_head(to, part != nullptr ? part + task * size : nullptr, in.head(n, h));
      }
    });
    if (part == nullptr) return;
    T* sum = dbias.mut<T>();
    const int64_t all = g.heads * size;
    parallel_for(all, 16384, [&](int64_t lo, int64_t hi) {
      std::fill(sum + lo, sum + hi, T{0});
      for (int64_t i = 0; i < groups; ++i) {
        for (int64_t j = lo; j < hi; ++j) sum[j] += part[i * all + j];
      }
    });
  });
}

}  // namespace lathe::kernels::cpu
