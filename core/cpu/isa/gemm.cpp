// Matrix products after Goto and van de Geijn (2008): a small block of C stays in registers while a panel of
// B stays in the first-level cache and rows of A stream past. B is packed into panels; A is copied only where
// its layout would hurt.

#include "core/cpu/isa/gemm_pack.h"
#include "core/cpu/isa/gemm_tile.h"
#include "core/cpu/isa_gemm.h"
#include "core/kernels/elementwise_math.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

// Terms per pass: a panel of B, two vectors wide, then fits the first-level cache.
constexpr int64_t kDepth = 256;
// Copied rows of A lie this much further apart than kDepth, so that they do not meet in one set of the cache.
constexpr int64_t kSkew = 16;
static_assert(kRows * (kDepth + kSkew) <= gemm_scratch_size(kRows));

/// Where the product finds `depth` terms of A: row i at data + i * row_step.
template <class T>
struct Left {
  const T* data;
  int64_t row_step, lda;
};

/// Rows one after the other with a stride that suits the cache.
template <class T>
Left<T> copy_rows(T* to, const T* a, const GemmShape& s, int64_t depth) {
  constexpr int64_t kStep = kDepth + kSkew;
  for (int64_t i = 0; i < s.m; ++i) {
    __builtin_memcpy(to + i * kStep, a + i * s.lda, sizeof(T) * static_cast<size_t>(depth));
  }
  return {to, kStep, kStep};
}

/// The same of gelu(a).
template <class T>
Left<T> map_rows(T* to, const T* a, const GemmShape& s, int64_t depth) {
  constexpr int64_t kStep = kDepth + kSkew;
  for (int64_t i = 0; i < s.m; ++i) {
    const T* __restrict from = a + i * s.lda;
    T* __restrict row = to + i * kStep;
    for (int64_t p = 0; p < depth; ++p) row[p] = math::unary<UnaryOp::Gelu>(from[p], T(0), T(0));
  }
  return {to, kStep, kStep};
}

constexpr int64_t common_divisor(int64_t a, int64_t b) {
  return b == 0 ? a : common_divisor(b, a % b);
}

/// sums[i] += the sum over `depth` terms of a band's row i < rows. Vectors go along the band, several terms
/// at a time.
template <class T>
void add_band_sums(T* sums, const T* band, int64_t rows, int64_t depth) {
  constexpr int64_t kVecs = kRows / common_divisor(kRows, kLanes<T>), kPeriod = kVecs * kLanes<T>;
  Vec<T> sum[kVecs] = {};
  const int64_t n = depth * kRows;
  int64_t i = 0;
  for (; i + kPeriod <= n; i += kPeriod) {
#pragma GCC unroll 4
    for (int64_t v = 0; v < kVecs; ++v) sum[v] += load(band + i + v * kLanes<T>);
  }
  T lanes[kPeriod];
  for (int64_t v = 0; v < kVecs; ++v) store<T>(lanes + v * kLanes<T>, sum[v]);
  for (; i < n; i += kRows) {
    for (int64_t r = 0; r < rows; ++r) lanes[r] += band[i + r];
  }
  for (int64_t at = 0; at < kPeriod; at += kRows) {
    for (int64_t r = 0; r < rows; ++r) sums[r] += lanes[at + r];
  }
}

/// The stored rows are terms: bands of kRows columns, each band contiguous and written in one go.
template <class T>
Left<T> copy_bands(T* to, const T* a, const GemmShape& s, int64_t depth, T* sums) {
  constexpr int64_t kBand = kRows * (kDepth + kSkew);
  T* const bands = to;
  for (int64_t i = 0; i < s.m; i += kRows, to += kBand) {
    const int64_t height = least(kRows, s.m - i);
    T* band = to;
    const T* from = a + i;
    for (int64_t p = 0; p < depth; ++p, band += kRows, from += s.lda) {
      if (height == kRows) {
        __builtin_memcpy(band, from, sizeof(T) * kRows);
      } else {
        for (int64_t r = 0; r < height; ++r) band[r] = from[r];
      }
    }
    if (sums != nullptr) add_band_sums(sums + i, to, height, depth);
  }
  return {bands, kDepth + kSkew, kRows};
}

/// `rows` stored rows of `columns` elements, as something to fetch.
template <class T>
Ahead lines_of(const T* from, int64_t ld, int64_t rows, int64_t columns) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(T));
  if (from == nullptr) rows = 0;
  const int64_t lines = (columns * kSize + kLine - 1) / kLine;
  return {reinterpret_cast<const char*>(from), ld * kSize, rows, lines, 0, 0};
}

/// The next `depth` terms, `rows` rows of A at `a`, and those of B at `b`, spread over the blocks that
/// multiply meanwhile. `b_lines` holds the second part.
template <class T>
Ahead fetch_plan(const T* a, int64_t rows, const T* b, const GemmShape& s, int64_t b_step, int64_t depth,
                 Ahead& b_lines) {
  const int64_t blocks = (s.m + kRows - 1) / kRows * ((s.n + kPanel<T> - 1) / kPanel<T>);
  const int64_t bursts = blocks * ((depth + kBurst - 1) / kBurst);
  Ahead plan = lines_of(a, s.lda, s.transpose_a ? depth : rows, s.transpose_a ? rows : depth);
  b_lines = lines_of(b, b_step, depth, s.n);
  const int64_t lines = plan.rows * plan.lines + b_lines.rows * b_lines.lines;
  plan.quota = b_lines.quota = (lines + bursts - 1) / (bursts > 0 ? bursts : 1);
  if (b != nullptr) plan.then = &b_lines;
  return plan;
}

/// Terms [p, p + depth) of all products of a block of rows, whose A is at `left`.
template <class T>
void multiply_terms(const PackedProduct<T>& o, const GemmShape& s, const Left<T>& left, int64_t p,
                    int64_t depth, Ahead& ahead) {
  for (int64_t j = 0; j < s.n; j += kPanel<T>) {
    const int64_t width = least(kPanel<T>, s.n - j);
    const int64_t panel_step = width > kLanes<T> ? kPanel<T> : kLanes<T>;
    const bool in_place = o.b_step > 0;
    const int64_t ldb = in_place ? o.b_step : panel_step;
    Block<T> block{.c = o.c + j,
                   .ldc = s.ldc,
                   .a = left.data,
                   .lda = left.lda,
                   .band = kRows * left.row_step,
                   .b = o.packed + (in_place ? j : j * s.k) + p * ldb,
                   .ldb = ldb,
                   .k = depth,
                   .ahead = &ahead};
    if (p > 0) {
      block.start = block.c;
      block.start_step = s.ldc;
    } else {
      if (o.start != nullptr) block.start = o.start + j;
      block.start_step = o.start_step;
      if (o.bias != nullptr) block.bias = o.bias + j;
    }
    s.transpose_a ? multiply<T, false>(block, s.m, width) : multiply<T, true>(block, s.m, width);
  }
}

template <class T>
void multiply_packed(const PackedProduct<T>& o, const GemmShape& s) {
  const bool by_row = !s.transpose_a;
  // Several panels read A again, and its rows or terms would meet in few sets of the cache.
  const bool crowded = !by_row || s.lda * static_cast<int64_t>(sizeof(T)) % 4096 == 0;
  const bool copy = (s.n > 2 * kPanel<T> && crowded && o.b_step == 0) || o.gelu || o.sums != nullptr;
  const int64_t passes = (s.k + kDepth - 1) / kDepth, even = passes > 0 ? (s.k + passes - 1) / passes : 0;
  const int64_t step = by_row ? 1 : s.lda;
  for (int64_t p = 0; p < s.k; p += even) {
    const int64_t depth = least(even, s.k - p), after = p + depth;
    Ahead b_lines, ahead;
    if (after < s.k) {
      const T* b = o.b_step > 0 ? o.packed + after * o.b_step : nullptr;
      ahead = fetch_plan(o.a + after * step, s.m, b, s, o.b_step, least(even, s.k - after), b_lines);
    } else if (o.next_a != nullptr) {
      ahead = fetch_plan(o.next_a, o.next_rows, o.next_b, s, o.b_step, even, b_lines);
    }
    const T* terms = o.a + p * step;
    Left<T> left{terms, by_row ? s.lda : 1, s.lda};
    if (copy && by_row) {
      left = o.gelu ? map_rows(o.scratch, terms, s, depth) : copy_rows(o.scratch, terms, s, depth);
    } else if (copy) {
      left = copy_bands(o.scratch, terms, s, depth, o.sums);
    }
    multiply_terms(o, s, left, p, depth, ahead);
  }
}

template <class T>
void pack(T* packed, const T* b, const GemmShape& s, int64_t lo, int64_t hi) {
  if (!s.transpose_b) return pack_rows(packed, b, s.ldb, s.k, lo, hi);
  for (int64_t j = lo; j < hi; j += kPanel<T>) {
    const int64_t width = least(kPanel<T>, hi - j), step = width > kLanes<T> ? kPanel<T> : kLanes<T>;
    pack_transposed(packed + j * s.k, step, b + j * s.ldb, s.ldb, width, s.k);
  }
}

/// sum[i][j] += a_i b_j, where load_row(p) loads from a row that begins at p.
template <class T, int kHeight, int kWidth, class Load>
inline void add_products(Vec<T> (&sum)[kHeight][kWidth], const T* a, const T* b, const DotShape& s,
                         const Load& load_row) {
  Vec<T> left[kHeight];
#pragma GCC unroll 8
  for (int i = 0; i < kHeight; ++i) left[i] = load_row(a + i * s.lda);
#pragma GCC unroll 8
  for (int j = 0; j < kWidth; ++j) {
    const Vec<T> right = load_row(b + j * s.ldb);
#pragma GCC unroll 8
    for (int i = 0; i < kHeight; ++i) sum[i][j] += left[i] * right;
  }
}

/// kHeight rows of A with kWidth rows of B.
template <class T, int kHeight, int kWidth>
void dot_block(T* c, const T* a, const T* b, const DotShape& s) {
  Vec<T> sum[kHeight][kWidth] = {};
  int64_t p = 0;
  for (; p + kLanes<T> <= s.k; p += kLanes<T>) {
    add_products(sum, a + p, b + p, s, [](const T* row) { return load(row); });
  }
  T total[kHeight][kWidth];
#pragma GCC unroll 8
  for (int i = 0; i < kHeight; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kWidth; ++j) total[i][j] = sum_lanes<T>(sum[i][j]);
  }
  for (int i = 0; i < kHeight; ++i) {
    for (int j = 0; j < kWidth; ++j) {
      T value = total[i][j];
      for (int64_t q = p; q < s.k; ++q) value += a[i * s.lda + q] * b[j * s.ldb + q];
      T* to = c + i * s.row + j * s.column;
      *to = s.accumulate ? *to + value : value;
    }
  }
}

template <class T, int kHeight>
void dot_rows(T* c, const T* a, const T* b, const DotShape& s) {
  int64_t j = 0;
  for (; j + 4 <= s.n; j += 4) dot_block<T, kHeight, 4>(c + j * s.column, a, b + j * s.ldb, s);
  for (; j < s.n; ++j) dot_block<T, kHeight, 1>(c + j * s.column, a, b + j * s.ldb, s);
}

template <class T>
void dots(T* c, const T* a, const T* b, const DotShape& s) {
  int64_t i = 0;
  for (; i + 4 <= s.m; i += 4) dot_rows<T, 4>(c + i * s.row, a + i * s.lda, b, s);
  for (; i < s.m; ++i) dot_rows<T, 1>(c + i * s.row, a + i * s.lda, b, s);
}

}  // namespace

void gemm_pack_f32(float* packed, const float* b, const GemmShape& shape, int64_t lo, int64_t hi) {
  pack(packed, b, shape, lo, hi);
}
void gemm_pack_f64(double* packed, const double* b, const GemmShape& shape, int64_t lo, int64_t hi) {
  pack(packed, b, shape, lo, hi);
}
void gemm_packed_f32(const PackedProduct<float>& product, const GemmShape& shape) {
  multiply_packed(product, shape);
}
void gemm_packed_f64(const PackedProduct<double>& product, const GemmShape& shape) {
  multiply_packed(product, shape);
}
void gemm_dots_f32(float* c, const float* a, const float* b, const DotShape& shape) {
  dots(c, a, b, shape);
}
void gemm_dots_f64(double* c, const double* a, const double* b, const DotShape& shape) {
  dots(c, a, b, shape);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
