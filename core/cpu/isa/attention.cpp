// One head of attention, a block of queries at a time (Dao et al. 2022, with whole rows of scores). k and v
// are packed once per head; a block's scores stay in the second-level cache and go through the tiles of
// ordinary products (gemm_tile.h) between passes over their rows. Scores lie in rows of whole panels, so that
// vectors reach beyond the keys: what lies there, and what a causal row does not see, is set to 0 before a
// product reads it. Bands of kRows queries leave out the panels of keys that none of them sees, and products
// that add over queries begin at the first query that sees a key of the band.

#include "core/cpu/isa/gemm_pack.h"
#include "core/cpu/isa_attention.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

inline int64_t round_up(int64_t n, int64_t unit) {
  return (n + unit - 1) / unit * unit;
}
template <class T>
int64_t vector_width(int64_t n) {
  return round_up(n, kLanes<T>);
}

/// A matrix as the right operand of products: panels of its columns, `terms` rows each.
template <class T>
struct Panels {
  T* data = nullptr;
  int64_t columns = 0, terms = 0;

  T* at(int64_t column) const { return data + column * terms; }
  int64_t size() const { return vector_width<T>(columns) * terms; }
};

/// Columns and terms are the rows and columns of x.
template <class T>
Panels<T> transposed_panels(T* to, const T* x, int64_t step, int64_t rows, int64_t width) {
  const Panels<T> panels{to, rows, width};
  for (int64_t j = 0; j < rows; j += kPanel<T>) {
    const int64_t count = least(kPanel<T>, rows - j);
    pack_transposed(panels.at(j), count > kLanes<T> ? kPanel<T> : kLanes<T>, x + j * step, step, count,
                    width);
  }
  return panels;
}

template <class T>
Panels<T> panels_of(T* to, const T* x, int64_t step, int64_t rows, int64_t width) {
  pack_rows(to, x, step, rows, 0, width);
  return {to, width, rows};
}

/// Left operand: element (row i, term p) at data[i * row + p] or, `by_term`, at data[p * row + i].
template <class T>
struct Left {
  const T* data;
  int64_t row;
};

/// Rows of C (rows x columns of the panels) = A B over terms [first, last), plus C where `add`.
template <class T, bool kByRow>
void product(T* c, int64_t ldc, const Left<T>& a, int64_t rows, const Panels<T>& b, int64_t column,
             int64_t width, int64_t first, int64_t last, bool add, Ahead* ahead) {
  const int64_t step = b.columns - column > kLanes<T> ? kPanel<T> : kLanes<T>;
  Block<T> block{.c = c,
                 .ldc = ldc,
                 .a = a.data + (kByRow ? first : first * a.row),
                 .lda = a.row,
                 .band = kRows * (kByRow ? a.row : 1),
                 .b = b.at(column) + first * step,
                 .ldb = step,
                 .k = last - first,
                 .start = add ? c : nullptr,
                 .start_step = ldc,
                 .ahead = ahead};
  multiply<T, kByRow>(block, rows, width);
}

/// Queries [lo, lo + rows) of a head and their scores.
template <class T>
struct ScoreBlock {
  const AttentionHead<T>& head;
  int64_t lo, rows;
  int64_t step;  // between rows of scores
  Ahead* ahead;

  int64_t seen(int64_t row) const { return head.seen(lo + row); }
  /// Keys that the rows of a band see, in whole vectors: what products read of them.
  int64_t band_seen(int64_t row) const { return vector_width<T>(seen(least(row + kRows, rows) - 1)); }
  const T* bias(int64_t row) const {
    return head.bias != nullptr ? head.bias + (lo + row) * head.keys : nullptr;
  }

  /// scores = x b for the keys of b that somebody sees, b's columns being keys.
  void multiply_keys(T* scores, const T* x, int64_t x_step, const Panels<T>& b) const {
    for (int64_t j = 0; j < b.columns; j += kPanel<T>) {
      const int64_t first = head.first_query(j) - lo;
      const int64_t row = first <= 0 ? 0 : first / kRows * kRows;
      if (row >= rows) return;
      const int64_t width = vector_width<T>(least(kPanel<T>, b.columns - j));
      product<T, true>(scores + row * step + j, step, {x + row * x_step, x_step}, rows - row, b, j, width, 0,
                       b.terms, false, ahead);
    }
  }
  /// y (rows x width) = scores b, b's terms being keys.
  void multiply_scores(T* y, int64_t y_step, const T* scores, const Panels<T>& b) const {
    const int64_t band = head.causal ? kRows : rows;
    for (int64_t row = 0; row < rows; row += band) {
      const int64_t count = least(band, rows - row);
      const int64_t last = head.causal ? least(b.terms, band_seen(row)) : b.terms;
      for (int64_t j = 0; j < b.columns; j += kPanel<T>) {
        product<T, true>(y + row * y_step + j, y_step, {scores + row * step, step}, count, b, j,
                         least(kPanel<T>, b.columns - j), 0, last, false, ahead);
      }
    }
  }
  /// y (keys x width) (+)= scores^T b, b's terms being the block's queries.
  void multiply_queries(T* y, int64_t y_step, const T* scores, const Panels<T>& b, bool add) const {
    const int64_t band = head.causal ? kRows : head.keys;
    for (int64_t key = 0; key < head.keys; key += band) {
      // A band reads its rows of scores where products of keys wrote them: in whole bands of queries.
      const int64_t first = head.first_query(key) - lo;
      const int64_t from = first <= 0 ? 0 : least(rows, first);
      if (from == rows && add) return;
      for (int64_t j = 0; j < b.columns; j += kPanel<T>) {
        product<T, false>(y + key * y_step + j, y_step, {scores + key, step}, least(band, head.keys - key), b,
                          j, least(kPanel<T>, b.columns - j), from, rows, add, ahead);
      }
    }
  }
};

/// The first `count` lanes of v, `fill` in the others.
template <class T>
inline Vec<T> keep_first(Vec<T> v, int64_t count, T fill) {
  IntVec<T> lane;
  for (int i = 0; i < kLanes<T>; ++i) lane[i] = i;
  return lane < IntVec<T>{} + static_cast<decltype(lane[0] + 0)>(count) ? v : splat(fill);
}

/// scale score + bias + mask of keys [i, i + count); lanes past `count` are -inf.
template <class T>
inline Vec<T> masked_score(const T* scores, int64_t i, int64_t count, const T* bias,
                           const AttentionHead<T>& head) {
  Vec<T> s = load(scores + i) * head.scale;
  if (count < kLanes<T>) s = keep_first(s, count, kMinusInf<T>);
  if (bias != nullptr) s += load_up_to(bias + i, count, T{0});
  if (head.mask != nullptr) s += load_up_to(head.mask + i, count, T{0});
  return s;
}

/// fn(i, count) for vectors of the first n keys; zeros from there to `end`.
template <class T, class Fn>
inline void for_keys(T* scores, int64_t n, int64_t end, const Fn& fn) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) fn(i, kLanes<T>);
  if (i < n) {
    fn(i, n - i);
    i += kLanes<T>;
  }
  for (; i < end; i += kLanes<T>) store<T>(scores + i, splat(T{0}));
}

/// Whether one of the first n keys is no padding. Scores do not tell: all may be NaN, or overflow to -inf.
template <class T>
bool sees_a_key(int64_t n, const T* mask) {
  if (mask == nullptr) return n > 0;
  for (int64_t i = 0; i < n; ++i) {
    if (mask[i] == 0) return true;
  }
  return false;
}

/// Scores become exp(scale score + bias + mask - largest); returns the logarithm of their sum before that,
/// and in `share` what makes them probabilities.
template <class T>
T softmax_row(T* scores, int64_t n, int64_t end, const T* bias, const AttentionHead<T>& head, T& share) {
  Vec<T> best = splat(kMinusInf<T>);
  for_keys(scores, n, 0, [&](int64_t i, int64_t count) {
    best = max_of<T>(best, masked_score(scores, i, count, bias, head));
  });
  const T shift = max_lanes<T>(best);
  share = 0;
  if (shift == kMinusInf<T> && !sees_a_key(n, head.mask)) {
    for_keys(scores, 0, end, [](int64_t, int64_t) {});
    return -kMinusInf<T>;
  }
  Vec<T> sum = splat(T{0});
  for_keys(scores, n, end, [&](int64_t i, int64_t count) {
    const Vec<T> e = exp_lanes(masked_score(scores, i, count, bias, head) - shift);
    sum += e;
    store<T>(scores + i, e);
  });
  const T total = sum_lanes<T>(sum);
  share = 1 / total;
  return shift + log_of(total);
}

template <class T>
void softmax(T* scores, T* lse, const ScoreBlock<T>& block) {
  for (int64_t row = 0; row < block.rows; ++row, scores += block.step) {
    const int64_t end = block.band_seen(row / kRows * kRows);
    T share;
    lse[row] = softmax_row(scores, block.seen(row), end, block.bias(row), block.head, share);
    for (int64_t i = 0; i < end; i += kLanes<T>) store<T>(scores + i, load(scores + i) * share);
  }
}

/// Scores become probabilities, given lse.
template <class T>
void probabilities(T* scores, const T* lse, const ScoreBlock<T>& block) {
  const int64_t width = vector_width<T>(block.head.keys);
  for (int64_t row = 0; row < block.rows; ++row, scores += block.step) {
    const T* bias = block.bias(row);
    for_keys(scores, block.seen(row), width, [&](int64_t i, int64_t count) {
      store<T>(scores + i, exp_lanes(masked_score(scores, i, count, bias, block.head) - lse[row]));
    });
  }
}

/// g, the gradient of the probabilities p, becomes that of q k^T: h = p (g - delta), dbias += h, g = scale h.
/// delta, the sum of dy y, is one value per row.
template <class T>
void score_gradient(T* g, T* dbias, const T* p, const T* delta, const ScoreBlock<T>& block) {
  const int64_t width = vector_width<T>(block.head.keys);
  const T scale = block.head.scale;
  for (int64_t row = 0; row < block.rows; ++row, g += block.step, p += block.step) {
    const T d = delta[row];
    T* sum = dbias != nullptr ? dbias + (block.lo + row) * block.head.keys : nullptr;
    for_keys(g, block.seen(row), width, [&](int64_t i, int64_t count) {
      Vec<T> h = load(p + i) * (load(g + i) - d);
      if (count < kLanes<T>) h = keep_first(h, count, T{0});
      if (sum != nullptr) store_up_to<T>(sum + i, load_up_to(sum + i, count, T{0}) + h, count);
      store<T>(g + i, h * scale);
    });
  }
}

template <class T>
T dot(const T* a, const T* b, int64_t n) {
  Vec<T> sum = splat(T{0});
  for_each_vec<T>(n, [&](int64_t i, int64_t count) {
    sum += load_up_to(a + i, count, T{0}) * load_up_to(b + i, count, T{0});
  });
  return sum_lanes<T>(sum);
}

/// Rows of scores begin this far apart: not a power of two, so that they do not meet in one set of the cache.
template <class T>
int64_t score_step(int64_t keys) {
  return round_up(keys, kPanel<T>) + kLanes<T>;
}

/// What the next head reads, to be fetched while this one's products run: `rows` rows of each of its
/// operands.
template <class T>
class NextHead {
 public:
  void add(const T* next, int64_t step, int64_t rows, int64_t width) {
    if (next == nullptr || rows == 0) return;
    constexpr auto kSize = static_cast<int64_t>(sizeof(T));
    Ahead& part = parts_[count_];
    part = {reinterpret_cast<const char*>(next),
            step * kSize,
            rows,
            (width * kSize + kLine - 1) / kLine,
            0,
            kQuota};
    if (count_ > 0) parts_[count_ - 1].then = &part;
    ++count_;
  }
  Ahead* first() { return parts_; }

 private:
  static constexpr int64_t kQuota = 6;  // more than enough for all of them in half of the products
  Ahead parts_[5];
  int count_ = 0;
};

template <class T>
void forward(const AttentionHead<T>& head, const AttentionForward<T>& to) {
  const int64_t step = score_step<T>(head.keys);
  const Panels<T> keys = transposed_panels(to.scratch, head.k, head.k_step, head.keys, head.d);
  const Panels<T> values = panels_of(keys.data + keys.size(), head.v, head.v_step, head.keys, head.dv);
  T* scores = values.data + values.size();
  NextHead<T> next;
  if (to.next) {
    next.add(head.q + head.d, head.q_step, head.queries, head.d);
    next.add(head.k + head.d, head.k_step, head.keys, head.d);
    next.add(head.v + head.dv, head.v_step, head.keys, head.dv);
  }
  for (int64_t lo = to.lo; lo < to.hi; lo += head.block) {
    const ScoreBlock<T> block{head, lo, least(head.block, to.hi - lo), step, next.first()};
    block.multiply_keys(scores, head.q + lo * head.q_step, head.q_step, keys);
    softmax(scores, to.lse + lo, block);
    block.multiply_scores(to.y + lo * to.y_step, to.y_step, scores, values);
  }
}

/// What products of a head's backward pass read on the right, packed.
template <class T>
struct BackwardPanels {
  Panels<T> keys_transposed, values_transposed, keys;
  T* rest;  // of the scratch

  BackwardPanels(const AttentionHead<T>& head, const AttentionBackward<T>& to)
      : keys_transposed(transposed_panels(to.scratch, head.k, head.k_step, head.keys, head.d)),
        values_transposed(
            transposed_panels(to.scratch + keys_transposed.size(), head.v, head.v_step, head.keys, head.dv)),
        keys(panels_of(values_transposed.data + values_transposed.size(), head.k, head.k_step, head.keys,
                       head.d)),
        rest(keys.data + keys.size()) {}
};

// With p the probabilities: dv = p^T dy, dp = dy v^T, ds = p (dp - rowsum(dy y)), dq = ds k, dk = ds^T q.
template <class T>
void backward(const AttentionHead<T>& head, const AttentionBackward<T>& to) {
  const int64_t step = score_step<T>(head.keys);
  const BackwardPanels<T> panels(head, to);
  NextHead<T> next;
  if (to.next) {
    next.add(head.k + head.d, head.k_step, head.keys, head.d);
    next.add(head.v + head.dv, head.v_step, head.keys, head.dv);
    next.add(head.q + head.d, head.q_step, head.queries, head.d);
    next.add(to.dy + head.dv, to.y_step, head.queries, head.dv);
    next.add(to.y + head.dv, to.y_step, head.queries, head.dv);
  }
  const bool scores_wanted = to.dq != nullptr || to.dk != nullptr || to.dbias != nullptr;
  for (int64_t lo = 0; lo < head.queries; lo += head.block) {
    const ScoreBlock<T> block{head, lo, least(head.block, head.queries - lo), step, next.first()};
    T *p = panels.rest, *g = p + block.rows * step, *delta = g + block.rows * step;
    T* rows = delta + vector_width<T>(block.rows);
    const T *q = head.q + lo * head.q_step, *dy = to.dy + lo * to.y_step, *y = to.y + lo * to.y_step;
    block.multiply_keys(p, q, head.q_step, panels.keys_transposed);
    probabilities(p, to.lse + lo, block);
    if (to.dv != nullptr) {
      const Panels<T> packed = panels_of(rows, dy, to.y_step, block.rows, head.dv);
      block.multiply_queries(to.dv, head.v_step, p, packed, lo > 0);
    }
    if (!scores_wanted) continue;
    block.multiply_keys(g, dy, to.y_step, panels.values_transposed);
    for (int64_t row = 0; row < block.rows; ++row)
      delta[row] = dot(dy + row * to.y_step, y + row * to.y_step, head.dv);
    score_gradient(g, to.dbias, p, delta, block);
    if (to.dq != nullptr) {
      block.multiply_scores(to.dq + lo * head.q_step, head.q_step, g, panels.keys);
    }
    if (to.dk != nullptr) {
      const Panels<T> packed = panels_of(rows, q, head.q_step, block.rows, head.d);
      block.multiply_queries(to.dk, head.k_step, g, packed, lo > 0);
    }
  }
}

}  // namespace

void attention_forward_f32(const AttentionHead<float>& head, const AttentionForward<float>& to) {
  forward(head, to);
}
void attention_forward_f64(const AttentionHead<double>& head, const AttentionForward<double>& to) {
  forward(head, to);
}
void attention_backward_f32(const AttentionHead<float>& head, const AttentionBackward<float>& to) {
  backward(head, to);
}
void attention_backward_f64(const AttentionHead<double>& head, const AttentionBackward<double>& to) {
  backward(head, to);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
