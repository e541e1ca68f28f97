// Attention forward and backward (Dao et al. 2022). Deterministic without atomics: dq is summed by blocks of
// queries, dk and dv by blocks of keys, dbias by blocks of scores over groups of samples; each recomputes the
// scores it needs. Products run on the ordinary cores: on an H100 tensor cores (bf16, or f32 as TF32) would
// be several times as fast, as would asynchronous copies of the next tile and a backward pass that shares one
// recomputation.

#include "core/kernels/attention.h"
#include "core/parallel.h"
#include "cuda/attention.cuh"
#include "cuda/dispatch.h"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

constexpr int64_t kBiasGroups = 8;

AttentionShape shape_of(const Tensor& q, const Tensor& v, const AttentionFlags& flags) {
  return {q.dim(0),  q.dim(1),    v.dim(1),     q.dim(-2),           q.dim(-1),
          v.dim(-1), flags.scale, flags.causal, flags.packed ? 3 : 1};
}

template <class T>
AttentionInputs<T> inputs_of(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& key_padding,
                             const Tensor& bias, const AttentionFlags& flags) {
  const int64_t third = flags.packed ? q.dim(-2) * q.dim(-1) : 0;
  return {q.ptr<T>(), k.ptr<T>() + third, v.ptr<T>() + 2 * third, optional_ptr<T>(bias),
          optional_ptr<uint8_t>(key_padding)};
}

/// A block per sample, head and tile of queries or keys; the tile is blockIdx.x's lowest digit.
struct HeadTile {
  int64_t n, h, first;

  __device__ HeadTile(const AttentionShape& s, int64_t tiles, int tile)
      : n(blockIdx.x / tiles / s.heads), h(blockIdx.x / tiles % s.heads), first(blockIdx.x % tiles * tile) {}
};

/// A softmax whose largest score and sum are kept while tiles of keys go by.
template <class T, int D>
__global__ void __launch_bounds__(256)
    attention_queries(AttentionShape s, AttentionInputs<T> in, T* y, Arithmetic<T>* lse, int64_t tiles) {
  using Tile = AttentionTile<T, D>;
  using A = Arithmetic<T>;
  constexpr int kMicro = Tile::kMicro;
  A *q = dynamic_shared<A>(), *k = q + Tile::kRows, *v = k + Tile::kRows, *p = v + Tile::kRows;
  const HeadTile block(s, tiles, Tile::kTile);
  Tile::read(q, in.q, s, s.thirds, block.n, block.h, s.queries, block.first, s.d);
  A sum[kMicro][Tile::kColumns] = {}, best[kMicro], total[kMicro] = {};
  for (int i = 0; i < kMicro; ++i) best[i] = -static_cast<A>(INFINITY);
  const int64_t last = block.first + Tile::kTile < s.queries ? block.first + Tile::kTile : s.queries;
  const int64_t seen = s.seen(last - 1);
  for (int64_t key = 0; key < seen; key += Tile::kTile) {
    __syncthreads();
    Tile::read(k, in.k, s, s.thirds, block.n, block.h, s.keys, key, s.d);
    Tile::read(v, in.v, s, s.thirds, block.n, block.h, s.keys, key, s.dv);
    __syncthreads();
    A score[kMicro][kMicro];
    Tile::multiply(score, q, k, s.d);
    Tile::finish_scores(score, in, s, block.n, block.h, block.first, key);
    for (int i = 0; i < kMicro; ++i) {
      A largest = best[i];
      for (int j = 0; j < kMicro; ++j) largest = Max::of(largest, score[i][j]);
      largest = Tile::template of_row<Max>(largest);
      const bool nothing = largest == -static_cast<A>(INFINITY);
      const A shrink = nothing ? A{1} : exp(best[i] - largest);
      best[i] = largest;
      A row = 0;
      for (int j = 0; j < kMicro; ++j) {
        score[i][j] = nothing ? A{0} : exp(score[i][j] - largest);
        row += score[i][j];
      }
      total[i] = total[i] * shrink + Tile::template of_row<Sum>(row);
      for (int c = 0; c < Tile::kColumns; ++c) sum[i][c] *= shrink;
    }
    Tile::share(p, score);
    __syncthreads();
    Tile::template accumulate<false>(sum, p, v);
  }
  A factor[kMicro];
  for (int i = 0; i < kMicro; ++i) {
    const int64_t t = block.first + Tile::ty() * kMicro + i;
    const bool nothing = best[i] == -static_cast<A>(INFINITY) && !Tile::sees_a_key(in, s, block.n, t);
    factor[i] = nothing ? A{0} : 1 / total[i];
    if (t >= s.queries || Tile::tx() != 0) continue;
    lse[(block.n * s.heads + block.h) * s.queries + t] =
        nothing ? static_cast<A>(INFINITY) : best[i] + log(total[i]);
  }
  Tile::write(y, sum, factor, s, 1, block.n, block.h, s.queries, block.first, s.dv);
}

/// delta (N, H, T): sum over a row of dy y. A warp per row.
template <class T>
__global__ void row_products(AttentionShape s, const T* dy, const T* y, Arithmetic<T>* delta, int64_t rows) {
  using A = Arithmetic<T>;
  const int64_t row = thread_index() / kWarp;
  if (row >= rows) return;
  const int64_t t = row % s.queries, h = row / s.queries % s.heads, n = row / s.queries / s.heads;
  const int64_t at = s.at(n, s.queries, t, h, s.dv);
  A sum = 0;
  for (int64_t i = threadIdx.x % kWarp; i < s.dv; i += kWarp) sum += load(dy, at + i) * load(y, at + i);
  sum = warp_reduce<Sum>(sum);
  if (threadIdx.x % kWarp == 0) delta[row] = sum;
}

/// What the backward passes read beside the inputs.
template <class T>
struct AttentionGradient {
  const T* dy;
  const Arithmetic<T>*lse, *delta;
};

/// Tiles of one pair of query and key tiles in shared memory, and its scores' gradient.
template <class T, int D>
struct GradientTiles {
  using Tile = AttentionTile<T, D>;
  using A = Arithmetic<T>;
  A *q, *k, *v, *dy;

  static constexpr size_t bytes(int scores) { return (4 * Tile::kRows + scores * Tile::kScores) * sizeof(A); }
  __device__ explicit GradientTiles(A* shared)
      : q(shared), k(q + Tile::kRows), v(k + Tile::kRows), dy(v + Tile::kRows) {}
  __device__ A* scores() const { return dy + Tile::kRows; }

  __device__ void read_queries(const AttentionShape& s, const AttentionInputs<T>& in,
                               const AttentionGradient<T>& g, int64_t n, int64_t h, int64_t query) const {
    Tile::read(q, in.q, s, s.thirds, n, h, s.queries, query, s.d);
    Tile::read(dy, g.dy, s, 1, n, h, s.queries, query, s.dv);
  }
  __device__ void read_keys(const AttentionShape& s, const AttentionInputs<T>& in, int64_t n, int64_t h,
                            int64_t key) const {
    Tile::read(k, in.k, s, s.thirds, n, h, s.keys, key, s.d);
    Tile::read(v, in.v, s, s.thirds, n, h, s.keys, key, s.dv);
  }
  /// p = exp(score - lse) and ds = p (dy v^T - delta), the gradient of the score.
  __device__ void differentiate(A (*p)[Tile::kMicro], A (*ds)[Tile::kMicro], const AttentionShape& s,
                                const AttentionInputs<T>& in, const AttentionGradient<T>& g, int64_t n,
                                int64_t h, int64_t query, int64_t key) const {
    Tile::multiply(p, q, k, s.d);
    Tile::finish_scores(p, in, s, n, h, query, key);
    Tile::multiply(ds, dy, v, s.dv);
    for (int i = 0; i < Tile::kMicro; ++i) {
      const int64_t t = query + Tile::ty() * Tile::kMicro + i;
      const int64_t row = (n * s.heads + h) * s.queries + t;
      const bool inside = t < s.queries;
      const A lse = inside ? g.lse[row] : A{0}, delta = inside ? g.delta[row] : A{0};
      for (int j = 0; j < Tile::kMicro; ++j) {
        p[i][j] = exp(p[i][j] - lse);
        ds[i][j] = p[i][j] * (ds[i][j] - delta);
      }
    }
  }
};

template <class T, int D>
__global__ void __launch_bounds__(256)
    query_gradient(AttentionShape s, AttentionInputs<T> in, AttentionGradient<T> g, T* dq, int64_t tiles) {
  using Tile = AttentionTile<T, D>;
  using A = Arithmetic<T>;
  const GradientTiles<T, D> shared(dynamic_shared<A>());
  const HeadTile block(s, tiles, Tile::kTile);
  shared.read_queries(s, in, g, block.n, block.h, block.first);
  A sum[Tile::kMicro][Tile::kColumns] = {}, factor[Tile::kMicro];
  for (int i = 0; i < Tile::kMicro; ++i) factor[i] = static_cast<A>(s.scale);
  const int64_t last = block.first + Tile::kTile < s.queries ? block.first + Tile::kTile : s.queries;
  const int64_t seen = s.seen(last - 1);
  for (int64_t key = 0; key < seen; key += Tile::kTile) {
    __syncthreads();
    shared.read_keys(s, in, block.n, block.h, key);
    __syncthreads();
    A p[Tile::kMicro][Tile::kMicro], ds[Tile::kMicro][Tile::kMicro];
    shared.differentiate(p, ds, s, in, g, block.n, block.h, block.first, key);
    Tile::share(shared.scores(), ds);
    __syncthreads();
    Tile::template accumulate<false>(sum, shared.scores(), shared.k);
  }
  Tile::write(dq, sum, factor, s, s.thirds, block.n, block.h, s.queries, block.first, s.d);
}

/// dk or dv may be null.
template <class T, int D>
__global__ void __launch_bounds__(256) key_gradients(AttentionShape s, AttentionInputs<T> in,
                                                     AttentionGradient<T> g, T* dk, T* dv, int64_t tiles) {
  using Tile = AttentionTile<T, D>;
  using A = Arithmetic<T>;
  const GradientTiles<T, D> shared(dynamic_shared<A>());
  A *ps = shared.scores(), *dss = ps + Tile::kScores;
  const HeadTile block(s, tiles, Tile::kTile);
  shared.read_keys(s, in, block.n, block.h, block.first);
  A sum_k[Tile::kMicro][Tile::kColumns] = {}, sum_v[Tile::kMicro][Tile::kColumns] = {};
  A scale[Tile::kMicro], one[Tile::kMicro];
  for (int i = 0; i < Tile::kMicro; ++i) {
    scale[i] = static_cast<A>(s.scale);
    one[i] = 1;
  }
  int64_t query = 0;  // earlier tiles of queries see none of these keys
  if (s.causal && block.first + s.queries > s.keys) {
    query = (block.first + s.queries - s.keys) / Tile::kTile * Tile::kTile;
  }
  for (; query < s.queries; query += Tile::kTile) {
    __syncthreads();
    shared.read_queries(s, in, g, block.n, block.h, query);
    __syncthreads();
    A p[Tile::kMicro][Tile::kMicro], ds[Tile::kMicro][Tile::kMicro];
    shared.differentiate(p, ds, s, in, g, block.n, block.h, query, block.first);
    Tile::share(ps, p);
    Tile::share(dss, ds);
    __syncthreads();
    Tile::template accumulate<true>(sum_v, ps, shared.dy);
    Tile::template accumulate<true>(sum_k, dss, shared.q);
  }
  if (dk != nullptr) Tile::write(dk, sum_k, scale, s, s.thirds, block.n, block.h, s.keys, block.first, s.d);
  if (dv != nullptr) Tile::write(dv, sum_v, one, s, s.thirds, block.n, block.h, s.keys, block.first, s.dv);
}

/// parts (groups, H, T, S): a block per group of samples, head, and tile of scores.
template <class T, int D>
__global__ void __launch_bounds__(256)
    bias_gradient(AttentionShape s, AttentionInputs<T> in, AttentionGradient<T> g, Arithmetic<T>* parts,
                  int64_t group, int64_t query_tiles, int64_t key_tiles) {
  using Tile = AttentionTile<T, D>;
  using A = Arithmetic<T>;
  const GradientTiles<T, D> shared(dynamic_shared<A>());
  int64_t rest = blockIdx.x;
  const int64_t key = rest % key_tiles * Tile::kTile;
  rest /= key_tiles;
  const int64_t query = rest % query_tiles * Tile::kTile;
  rest /= query_tiles;
  const int64_t h = rest % s.heads, part = rest / s.heads;
  A sum[Tile::kMicro][Tile::kMicro] = {};
  const int64_t end = (part + 1) * group < s.samples ? (part + 1) * group : s.samples;
  for (int64_t n = part * group; n < end; ++n) {
    __syncthreads();
    shared.read_queries(s, in, g, n, h, query);
    shared.read_keys(s, in, n, h, key);
    __syncthreads();
    A p[Tile::kMicro][Tile::kMicro], ds[Tile::kMicro][Tile::kMicro];
    shared.differentiate(p, ds, s, in, g, n, h, query, key);
    for (int i = 0; i < Tile::kMicro; ++i) {
      for (int j = 0; j < Tile::kMicro; ++j) sum[i][j] += ds[i][j];
    }
  }
  for (int i = 0; i < Tile::kMicro; ++i) {
    const int64_t t = query + Tile::ty() * Tile::kMicro + i;
    for (int j = 0; j < Tile::kMicro; ++j) {
      const int64_t column = key + Tile::tx() + 16 * j;
      if (t < s.queries && column < s.keys) {
        parts[((part * s.heads + h) * s.queries + t) * s.keys + column] = sum[i][j];
      }
    }
  }
}

template <class T>
__global__ void add_groups(T* dbias, const Arithmetic<T>* parts, int64_t n, int64_t groups) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    double sum = 0;
    for (int64_t group = 0; group < groups; ++group) sum += static_cast<double>(parts[group * n + i]);
    store(dbias, i, static_cast<Arithmetic<T>>(sum));
  }
}

template <class T, int D>
void bias_pass(Tensor& dbias, const AttentionShape& s, const AttentionInputs<T>& in,
               const AttentionGradient<T>& g) {
  using A = Arithmetic<T>;
  using Tile = AttentionTile<T, D>;
  const int64_t group = std::max<int64_t>(1, chunk_count(s.samples, kBiasGroups));
  const int64_t groups = chunk_count(s.samples, group), n = dbias.numel();
  Tensor scratch = Tensor::empty({groups * n}, dtype_of<A>(), current_device());
  A* parts = scratch.mut<A>();
  const int64_t query_tiles = chunk_count(s.queries, Tile::kTile),
                key_tiles = chunk_count(s.keys, Tile::kTile);
  launch(
      bias_gradient<T, D>,
      block_each(groups * s.heads * query_tiles * key_tiles, Tile::kThreads, GradientTiles<T, D>::bytes(0)),
      s, in, g, parts, group, query_tiles, key_tiles);
  launch(add_groups<T>, over(n), dbias.mut<T>(), parts, n, groups);
}

}  // namespace

void attention_forward(Tensor& y, Tensor& lse, const Tensor& q, const Tensor& k, const Tensor& v,
                       const Tensor& key_padding, const Tensor& bias, const AttentionFlags& flags) {
  const AttentionShape s = shape_of(q, v, flags);
  dispatch_arithmetic(q.dtype(), "attention", [&]<class T>() {
    using A = Arithmetic<T>;
    const AttentionInputs<T> in = inputs_of<T>(q, k, v, key_padding, bias, flags);
    with_head_width(std::max(s.d, s.dv), [&]<int D>() {
      using Tile = AttentionTile<T, D>;
      const int64_t tiles = chunk_count(s.queries, Tile::kTile);
      const size_t bytes = (3 * Tile::kRows + Tile::kScores) * sizeof(A);
      launch(attention_queries<T, D>, block_each(s.samples * s.heads * tiles, Tile::kThreads, bytes), s, in,
             y.mut<T>(), lse.mut<A>(), tiles);
    });
  });
}

void attention_backward(Tensor& dq, Tensor& dk, Tensor& dv, Tensor& dbias, const Tensor& dy, const Tensor& q,
                        const Tensor& k, const Tensor& v, const Tensor& y, const Tensor& lse,
                        const Tensor& key_padding, const Tensor& bias, const AttentionFlags& flags) {
  const AttentionShape s = shape_of(q, v, flags);
  dispatch_arithmetic(q.dtype(), "attention", [&]<class T>() {
    using A = Arithmetic<T>;
    const AttentionInputs<T> in = inputs_of<T>(q, k, v, key_padding, bias, flags);
    Tensor delta = Tensor::empty(lse.shape(), dtype_of<A>(), current_device());
    launch(row_products<T>, block_each(chunk_count(lse.numel(), kBlock / kWarp)), s, dy.ptr<T>(), y.ptr<T>(),
           delta.mut<A>(), lse.numel());
    const AttentionGradient<T> g{dy.ptr<T>(), lse.ptr<A>(), delta.ptr<A>()};
    const auto third_of = [&](T* gradient, int64_t i) {
      return gradient != nullptr && flags.packed ? gradient + i * s.heads * s.d : gradient;
    };
    with_head_width(std::max(s.d, s.dv), [&]<int D>() {
      using Tile = AttentionTile<T, D>;
      using Tiles = GradientTiles<T, D>;
      const int64_t pairs = s.samples * s.heads;
      const int64_t query_tiles = chunk_count(s.queries, Tile::kTile),
                    key_tiles = chunk_count(s.keys, Tile::kTile);
      if (dq.defined()) {
        launch(query_gradient<T, D>, block_each(pairs * query_tiles, Tile::kThreads, Tiles::bytes(1)), s, in,
               g, dq.mut<T>(), query_tiles);
      }
      if (dk.defined() || dv.defined()) {
        launch(key_gradients<T, D>, block_each(pairs * key_tiles, Tile::kThreads, Tiles::bytes(2)), s, in, g,
               third_of(optional_mut<T>(dk), 1), third_of(optional_mut<T>(dv), 2), key_tiles);
      }
      if (dbias.defined()) bias_pass<T, D>(dbias, s, in, g);
    });
  });
}

}  // namespace lathe::kernels::cuda
