#include "core/kernels/attention.h"

#include <algorithm>
#include <limits>

#include "core/cpu/by_type.h"
#include "core/cpu/conv_scratch.h"
#include "core/cpu/isa_attention.h"
#include "core/parallel.h"

namespace lathe::kernels::cpu {
namespace {

using lathe::cpu::AttentionBackward;
using lathe::cpu::AttentionForward;
using lathe::cpu::AttentionHead;
using lathe::cpu::by_type;

// Queries whose scores are held at once: enough for an efficient product, few enough for a core's cache.
constexpr int64_t kMostQueries = 96, kFewQueries = 48, kManyKeys = 256;
// Samples that are tasks of their own, so that a head's operands are fetched while the one before is worked
// on; of fewer the heads are, and of few heads blocks of queries, a few each.
constexpr int64_t kMany = 16, kBlocksPerTask = 3;
// Groups of samples that the bias gradient is summed over.
constexpr int64_t kBiasGroups = 8;

int64_t block_of(int64_t queries, int64_t keys) {
  const int64_t most = keys > kManyKeys ? kFewQueries : kMostQueries;
  const int64_t even = chunk_count(queries, std::max<int64_t>(1, chunk_count(queries, most)));
  return even <= kFewQueries ? std::max<int64_t>(1, even) : chunk_count(even, 12) * 12;  // whole tiles
}

struct Geometry {
  int64_t samples, queries, keys, heads, d, dv;
  int64_t block;   // queries per block
  int64_t thirds;  // 3 where q, k and v are one tensor's, else 1
  AttentionFlags flags;

  Geometry(const Tensor& q, const Tensor& v, const AttentionFlags& given)
      : samples(q.dim(0)),
        queries(q.dim(1)),
        keys(v.dim(1)),
        heads(q.dim(-2)),
        d(q.dim(-1)),
        dv(v.dim(-1)),
        block(block_of(queries, keys)),
        thirds(given.packed ? 3 : 1),
        flags(given) {}

  /// First element of sample n and head h in a (samples, rows, heads, width) tensor, or in third `third` of
  /// the packed one.
  int64_t at(int64_t n, int64_t rows, int64_t h, int64_t width, int64_t third) const {
    return (n * rows * thirds + (flags.packed ? third : 0)) * heads * width + h * width;
  }
  int64_t output_at(int64_t n, int64_t h) const { return (n * queries * heads + h) * dv; }
  int64_t lse_at(int64_t n, int64_t h) const { return (n * heads + h) * queries; }

  int64_t heads_per_task() const { return samples >= kMany ? std::max<int64_t>(1, heads) : 1; }

  /// This thread's; a second call invalidates the first.
  template <class T>
  T* scratch() const {
    thread_local lathe::cpu::ConvScratch scratch;
    return scratch.take<T>(lathe::cpu::attention_scratch_size(keys, d, dv, block));
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

  AttentionHead<T> head(int64_t n, int64_t h) const {
    const Geometry& g = geometry;
    const int64_t narrow = g.thirds * g.heads * g.d, wide = g.thirds * g.heads * g.dv;
    return {.queries = g.queries,
            .keys = g.keys,
            .d = g.d,
            .dv = g.dv,
            .q = q + g.at(n, g.queries, h, g.d, 0),
            .k = k + g.at(n, g.keys, h, g.d, 1),
            .v = v + g.at(n, g.keys, h, g.dv, 2),
            .q_step = narrow,
            .k_step = narrow,
            .v_step = wide,
            .scale = static_cast<T>(g.flags.scale),
            .causal = g.flags.causal,
            .bias = bias != nullptr ? bias + h * g.queries * g.keys : nullptr,
            .mask = mask.defined() ? mask.ptr<T>() + n * g.keys : nullptr,
            .block = g.block};
  }
};

/// Gradients of sample 0, head 0; null: not wanted.
template <class T>
struct Gradients {
  T *dq = nullptr, *dk = nullptr, *dv = nullptr;
  const T *dy = nullptr, *y = nullptr, *lse = nullptr;
};

/// rows of `width` values, `step` apart
template <class T>
void clear_rows(T* to, int64_t rows, int64_t width, int64_t step) {
  for (int64_t row = 0; row < rows; ++row) std::fill(to + row * step, to + row * step + width, T{0});
}

template <class T>
void backward_head(const Gradients<T>& to, T* dbias, const Inputs<T>& in, int64_t n, int64_t h, bool next,
                   T* scratch) {
  const Geometry& g = in.geometry;
  const AttentionHead<T> head = in.head(n, h);
  AttentionBackward<T> o{.dbias = dbias,
                         .dy = to.dy + g.output_at(n, h),
                         .y = to.y + g.output_at(n, h),
                         .lse = to.lse + g.lse_at(n, h),
                         .y_step = g.heads * g.dv,
                         .next = next,
                         .scratch = scratch};
  if (to.dq != nullptr) o.dq = to.dq + g.at(n, g.queries, h, g.d, 0);
  if (to.dk != nullptr) o.dk = to.dk + g.at(n, g.keys, h, g.d, 1);
  if (to.dv != nullptr) o.dv = to.dv + g.at(n, g.keys, h, g.dv, 2);
  if (g.queries == 0) {  // no block writes these
    if (o.dk != nullptr) clear_rows(o.dk, g.keys, g.d, head.k_step);
    if (o.dv != nullptr) clear_rows(o.dv, g.keys, g.dv, head.v_step);
  }
  by_type<T>(lathe::cpu::attention_backward_f32, lathe::cpu::attention_backward_f64)(head, o);
}

/// dbias (heads, T, S) = the sum of `groups` partial ones, in order.
template <class T>
void add_groups(T* sum, const T* parts, int64_t groups, int64_t size) {
  parallel_for(size, 16384, [&](int64_t lo, int64_t hi) {
    std::fill(sum + lo, sum + hi, T{0});
    for (int64_t i = 0; i < groups; ++i) {
      for (int64_t j = lo; j < hi; ++j) sum[j] += parts[i * size + j];
    }
  });
}

}  // namespace

void attention_forward(Tensor& y, Tensor& lse, const Tensor& q, const Tensor& k, const Tensor& v,
                       const Tensor& key_padding, const Tensor& bias, const AttentionFlags& flags) {
  dispatch_floating(q.dtype(), "attention", [&]<class T>() {
    const Inputs<T> in(q, k, v, key_padding, bias, flags);
    const Geometry& g = in.geometry;
    T *out = y.mut<T>(), *lses = lse.mut<T>();
    const int64_t pairs = g.samples * g.heads, heads = g.heads_per_task();
    const int64_t step = pairs >= kMany ? std::max<int64_t>(1, g.queries) : kBlocksPerTask * g.block;
    const int64_t tasks = chunk_count(g.queries, step);
    parallel_for(pairs / heads * tasks, 1, [&](int64_t task, int64_t) {
      const int64_t first = task / tasks * heads, lo = task % tasks * step;
      T* const scratch = g.scratch<T>();
      for (int64_t pair = first; pair < first + heads; ++pair) {
        const int64_t n = pair / g.heads, h = pair % g.heads;
        by_type<T>(lathe::cpu::attention_forward_f32, lathe::cpu::attention_forward_f64)(
            in.head(n, h), AttentionForward<T>{.y = out + g.output_at(n, h),
                                               .y_step = g.heads * g.dv,
                                               .lse = lses + g.lse_at(n, h),
                                               .lo = lo,
                                               .hi = std::min(lo + step, g.queries),
                                               .next = pair + 1 < first + heads,
                                               .scratch = scratch});
      }
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
    // Where dbias is wanted a task is one head of a group of samples, which share a sum.
    const int64_t size = g.queries * g.keys;
    const int64_t group = std::max<int64_t>(1, dbias.defined() ? chunk_count(g.samples, kBiasGroups) : 1);
    const int64_t groups = chunk_count(g.samples, group), heads = dbias.defined() ? 1 : g.heads_per_task();
    Tensor parts;
    if (dbias.defined()) parts = Tensor::zeros({groups, g.heads, size}, dtype_of<T>());
    T* part = parts.defined() ? parts.mut<T>() : nullptr;
    parallel_for(groups * g.heads / heads, 1, [&](int64_t task, int64_t) {
      T* const scratch = g.scratch<T>();
      const int64_t first = task * heads / g.heads * group, h = task * heads % g.heads;
      for (int64_t n = first; n < std::min(first + group, g.samples); ++n) {
        for (int64_t i = 0; i < heads; ++i) {
          T* sum = part != nullptr ? part + task * size : nullptr;
          backward_head<T>(to, sum, in, n, h + i, i + 1 < heads, scratch);
        }
      }
    });
    if (part != nullptr) add_groups(dbias.mut<T>(), part, groups, g.heads * size);
  });
}

}  // namespace lathe::kernels::cpu
