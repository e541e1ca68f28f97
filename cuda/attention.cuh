#pragma once
// Attention in tiles: what its passes share. A block of 16 x 16 threads works on a tile of kTile queries by
// kTile keys; thread (tx, ty) owns the kMicro x kMicro scores of queries ty kMicro + i and keys tx + 16 j, so
// that rows of the tile belong to 16 neighbouring lanes of one warp. The (T, S) scores never leave the block.

#include "core/kernels/attention_math.h"
#include "cuda/device.cuh"

namespace lathe::cuda {

struct AttentionShape {
  int64_t samples, queries, keys, heads, d, dv;
  double scale;
  bool causal;
  int64_t thirds;  // 3 where q, k and v are parts of one tensor (samples, rows, 3, heads, width), else 1

  /// First element of row `row` of sample n and head h in (samples, rows, parts, heads, width), part 0.
  __device__ int64_t at(int64_t n, int64_t rows, int64_t row, int64_t h, int64_t width,
                        int64_t parts = 1) const {
    return ((n * rows + row) * parts * heads + h) * width;
  }
  /// Keys that query t sees.
  __device__ int64_t seen(int64_t t) const { return math::keys_seen(t, queries, keys, causal); }
};

/// Operands; key_padding and bias may be null.
template <class T>
struct AttentionInputs {
  const T *q, *k, *v, *bias;
  const uint8_t* key_padding;
};

/// D: width of a head, padded with zeros to 32, 64 or 128. Tiles of 64 rows where they take 16 KiB, else of
/// 32, so that four of them and two of scores fit a block's shared memory.
template <class T, int D>
struct AttentionTile {
  using A = Arithmetic<T>;
  static constexpr int kThreads = 256;
  static constexpr int kTile = D * sizeof(A) <= 256 ? 64 : 32;
  static constexpr int kMicro = kTile / 16;
  static constexpr int kStride = D + 1;  // odd: 16 rows lie in different banks
  static constexpr int kScoreStride = kTile + 1;
  static constexpr int kColumns = D / 16;  // of an output row, per thread
  static constexpr int kRows = kTile * kStride, kScores = kTile * kScoreStride;

  static __device__ int tx() { return threadIdx.x % 16; }
  static __device__ int ty() { return threadIdx.x / 16; }

  /// Rows [first, first + kTile) of sample n, head h of x (samples, rows, thirds, heads, width) to shared
  /// memory; zeros beyond.
  static __device__ void read(A* to, const T* x, const AttentionShape& s, int64_t thirds, int64_t n,
                              int64_t h, int64_t rows, int64_t first, int64_t width) {
    for (int i = threadIdx.x; i < kTile * D; i += kThreads) {
      const int row = i / D, column = i % D;
      const bool inside = first + row < rows && column < width;
      to[row * kStride + column] =
          inside ? load(x, s.at(n, rows, first + row, h, width, thirds) + column) : A{0};
    }
  }
  /// product[i][j] = sum over a row's elements of a[ty kMicro + i] b[tx + 16 j]
  static __device__ void multiply(A (*product)[kMicro], const A* a, const A* b, int64_t width) {
    for (int i = 0; i < kMicro; ++i) {
      for (int j = 0; j < kMicro; ++j) product[i][j] = 0;
    }
    for (int e = 0; e < static_cast<int>(width); ++e) {
      A left[kMicro], right[kMicro];
      for (int i = 0; i < kMicro; ++i) left[i] = a[(ty() * kMicro + i) * kStride + e];
      for (int j = 0; j < kMicro; ++j) right[j] = b[(tx() + 16 * j) * kStride + e];
      for (int i = 0; i < kMicro; ++i) {
        for (int j = 0; j < kMicro; ++j) product[i][j] += left[i] * right[j];
      }
    }
  }
  /// sum[i][c] += sum over r of p[ty kMicro + i][r] x[r][tx + 16 c], or with p transposed p[r][ty kMicro + i]
  template <bool kTranspose>
  static __device__ void accumulate(A (*sum)[kColumns], const A* p, const A* x) {
    for (int r = 0; r < kTile; ++r) {
      A left[kMicro], right[kColumns];
      for (int i = 0; i < kMicro; ++i) {
        const int row = ty() * kMicro + i;
        left[i] = kTranspose ? p[r * kScoreStride + row] : p[row * kScoreStride + r];
      }
      for (int c = 0; c < kColumns; ++c) right[c] = x[r * kStride + tx() + 16 * c];
      for (int i = 0; i < kMicro; ++i) {
        for (int c = 0; c < kColumns; ++c) sum[i][c] += left[i] * right[c];
      }
    }
  }
  /// factor sum to the rows of y that there are.
  static __device__ void write(T* y, const A (*sum)[kColumns], const A* factor, const AttentionShape& s,
                               int64_t thirds, int64_t n, int64_t h, int64_t rows, int64_t first,
                               int64_t width) {
    for (int i = 0; i < kMicro; ++i) {
      const int64_t row = first + ty() * kMicro + i;
      if (row >= rows) continue;
      for (int c = 0; c < kColumns; ++c) {
        const int column = tx() + 16 * c;
        if (column < width) store(y, s.at(n, rows, row, h, width, thirds) + column, sum[i][c] * factor[i]);
      }
    }
  }
  /// q k^T becomes scale q k^T + bias, -inf for keys out of sight and queries that are not there.
  static __device__ void finish_scores(A (*score)[kMicro], const AttentionInputs<T>& in,
                                       const AttentionShape& s, int64_t n, int64_t h, int64_t query,
                                       int64_t key) {
    for (int i = 0; i < kMicro; ++i) {
      const int64_t t = query + ty() * kMicro + i;
      const int64_t seen = t < s.queries ? s.seen(t) : 0;
      for (int j = 0; j < kMicro; ++j) {
        const int64_t column = key + tx() + 16 * j;
        const bool hidden =
            column >= seen || (in.key_padding != nullptr && in.key_padding[n * s.keys + column] != 0);
        A value = score[i][j] * static_cast<A>(s.scale);
        if (!hidden && in.bias != nullptr) value += load(in.bias, (h * s.queries + t) * s.keys + column);
        score[i][j] = hidden ? -static_cast<A>(INFINITY) : value;
      }
    }
  }
  /// Whether a key that query t sees is no padding. Scores do not tell: all may overflow to -inf.
  static __device__ bool sees_a_key(const AttentionInputs<T>& in, const AttentionShape& s, int64_t n,
                                    int64_t t) {
    const int64_t seen = t < s.queries ? s.seen(t) : 0;
    if (in.key_padding == nullptr) return seen > 0;
    for (int64_t key = 0; key < seen; ++key) {
      if (in.key_padding[n * s.keys + key] == 0) return true;
    }
    return false;
  }
  /// Of the 16 lanes that share the rows.
  template <class Op>
  static __device__ A of_row(A value) {
    for (int offset = 8; offset > 0; offset /= 2) {
      value = Op::of(value, __shfl_xor_sync(0xFFFFFFFFu, value, offset));
    }
    return value;
  }
  static __device__ void share(A* to, const A (*values)[kMicro]) {
    for (int i = 0; i < kMicro; ++i) {
      for (int j = 0; j < kMicro; ++j) {
        to[(ty() * kMicro + i) * kScoreStride + tx() + 16 * j] = values[i][j];
      }
    }
  }
};

/// fn.operator()<D>() for heads of up to D.
template <class Fn>
void with_head_width(int64_t width, Fn&& fn) {
  LATHE_CHECK(ShapeError, width <= 128, "attention: heads of width ", width,
              ", the CUDA kernels take up to 128");
  if (width <= 32) return fn.template operator()<32>();
  if (width <= 64) return fn.template operator()<64>();
  fn.template operator()<128>();
}

}  // namespace lathe::cuda
