// Matrix products after Goto and van de Geijn (2008): a small block of C stays in registers while a panel of
// B stays in the first-level cache and rows of A stream past. B is packed into panels; A is copied only where
// its layout would hurt.

#include "core/cpu/isa/vec.h"
#include "core/cpu/isa_gemm.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

// Rows of C in registers, two vectors each: as many as leave room for two vectors of B.
#if defined(LATHE_ISA_v4)
constexpr int kRows = 12;
#elif defined(LATHE_ISA_v3)
constexpr int kRows = 6;
#else
constexpr int kRows = 4;
#endif
// Terms per pass: a panel of B, two vectors wide, then fits the first-level cache.
constexpr int64_t kDepth = 256;
// Copied rows of A lie this much further apart than kDepth, so that they do not meet in one set of the cache.
constexpr int64_t kSkew = 16;
static_assert(kRows * (kDepth + kSkew) <= gemm_scratch_size(kRows));

template <class T>
constexpr int64_t kPanel = 2 * kLanes<T>;

inline int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/// C (rows, whole vectors) (+)= A B over k terms. Rows of B are ldb apart.
template <class T>
struct Block {
  T* c;
  int64_t ldc;
  const T* a;
  int64_t lda;
  const T* b;
  int64_t ldb;
  int64_t k;
  bool add;
};

// A's element of row i and term p is a[i * lda + p] when kByRow, else a[p * lda + i].
template <class T, int kHeight, int kVecs, bool kByRow>
__attribute__((noinline)) void multiply_block(const Block<T>& o) {
  Vec<T> sum[kHeight][kVecs] = {};
  const T *a = o.a, *b = o.b;
  const int64_t lda = o.lda, ldb = o.ldb;
#pragma GCC unroll 16
  for (int i = 0; i < kHeight; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) __builtin_prefetch(o.c + i * o.ldc + v * kLanes<T>, 1);
  }
  for (int64_t p = o.k; p > 0; --p) {
    Vec<T> row[kVecs];
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) row[v] = load(b + v * kLanes<T>);
#pragma GCC unroll 16
    for (int i = 0; i < kHeight; ++i) {
      const T x = kByRow ? a[i * lda] : a[i];
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) sum[i][v] += x * row[v];
    }
    a += kByRow ? 1 : lda;
    b += ldb;
  }
  T* to = o.c;
  const int64_t ldc = o.ldc;
  if (o.add) {
#pragma GCC unroll 16
    for (int i = 0; i < kHeight; ++i) {
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) sum[i][v] += load(to + i * ldc + v * kLanes<T>);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kHeight; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) store<T>(to + i * ldc + v * kLanes<T>, sum[i][v]);
  }
}

// Heights that blocks come in: kRows, then powers of two for the rows that are left.
constexpr int lower_height(int height) {
  return height > 8 ? 8 : height > 4 ? 4 : height / 2;
}

template <class T, bool kByRow, int kHeight = kRows>
void multiply_rows(Block<T> o, int64_t rows, bool wide) {
  for (; rows >= kHeight; rows -= kHeight) {
    wide ? multiply_block<T, kHeight, 2, kByRow>(o) : multiply_block<T, kHeight, 1, kByRow>(o);
    o.a += kHeight * (kByRow ? o.lda : 1);
    o.c += kHeight * o.ldc;
  }
  if constexpr (kHeight > 1) multiply_rows<T, kByRow, lower_height(kHeight)>(o, rows, wide);
}

/// `rows` <= kRows rows of C, `width` columns of one panel of B.
template <class T, bool kByRow>
void multiply(Block<T> o, int64_t rows, int64_t width) {
  const bool wide = width > kLanes<T>;
  if (width == kPanel<T> || width == kLanes<T>) return multiply_rows<T, kByRow>(o, rows, wide);
  T whole[kRows * kPanel<T>];  // vectors that reach beyond C
  const Block<T> out = o;
  o.c = whole;
  o.ldc = kPanel<T>;
  o.add = false;
  multiply_rows<T, kByRow>(o, rows, wide);
  for (int64_t i = 0; i < rows; ++i) {
    const T* from = whole + i * kPanel<T>;
    T* to = out.c + i * out.ldc;
    for (int64_t j = 0; j < width; ++j) to[j] = out.add ? to[j] + from[j] : from[j];
  }
}

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

/// The stored rows are terms: bands of kRows columns, each band contiguous.
template <class T>
Left<T> copy_bands(T* to, const T* a, const GemmShape& s, int64_t depth) {
  for (int64_t i = 0; i < s.m; i += kRows) {
    T* band = to + i * kDepth;
    const int64_t height = least(kRows, s.m - i);
    for (int64_t p = 0; p < depth; ++p) {
      const T* from = a + p * s.lda + i;
      if (height == kRows) {
        for (int r = 0; r < kRows; ++r) band[p * kRows + r] = from[r];
      } else {
        for (int64_t r = 0; r < height; ++r) band[p * kRows + r] = from[r];
      }
    }
  }
  return {to, kDepth, kRows};
}

template <class T>
void multiply_packed(T* c, const T* a, const T* packed, const GemmShape& s, T* scratch) {
  const bool by_row = !s.transpose_a;
  // Several panels read A again, and its rows or terms would meet in few sets of the cache.
  const bool crowded = s.lda * static_cast<int64_t>(sizeof(T)) % 4096 == 0;
  const bool copy = s.n > 2 * kPanel<T> && crowded;
  for (int64_t p = 0; p < s.k; p += kDepth) {
    const int64_t depth = least(kDepth, s.k - p);
    const T* terms = a + (by_row ? p : p * s.lda);
    Left<T> left{terms, by_row ? s.lda : 1, s.lda};
    if (copy) left = by_row ? copy_rows(scratch, terms, s, depth) : copy_bands(scratch, terms, s, depth);
    for (int64_t j = 0; j < s.n; j += kPanel<T>) {
      const int64_t width = least(kPanel<T>, s.n - j);
      const int64_t ldb = width > kLanes<T> ? kPanel<T> : kLanes<T>;
      const T* panel = packed + j * s.k + p * ldb;
      for (int64_t i = 0; i < s.m; i += kRows) {
        const Block<T> o{
            c + i * s.ldc + j,    s.ldc, left.data + i * left.row_step, left.lda, panel, ldb, depth,
            s.accumulate || p > 0};
        const int64_t height = least(kRows, s.m - i);
        by_row ? multiply<T, true>(o, height, width) : multiply<T, false>(o, height, width);
      }
    }
  }
}

typedef float Quad __attribute__((vector_size(16)));
typedef double Pair __attribute__((vector_size(16)));

/// to[q * step + r] = from[r * ld + q] for r, q < the side returned.
inline void transpose_square(float* to, int64_t step, const float* from, int64_t ld) {
  Quad r[4];
  for (int i = 0; i < 4; ++i) __builtin_memcpy(&r[i], from + i * ld, sizeof r[i]);
  const Quad a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
  const Quad b = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
  const Quad c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
  const Quad d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
  const Quad rows[4] = {__builtin_shufflevector(a, c, 0, 1, 4, 5), __builtin_shufflevector(a, c, 2, 3, 6, 7),
                        __builtin_shufflevector(b, d, 0, 1, 4, 5), __builtin_shufflevector(b, d, 2, 3, 6, 7)};
  for (int i = 0; i < 4; ++i) __builtin_memcpy(to + i * step, &rows[i], sizeof rows[i]);
}
inline void transpose_square(double* to, int64_t step, const double* from, int64_t ld) {
  Pair r[2];
  for (int i = 0; i < 2; ++i) __builtin_memcpy(&r[i], from + i * ld, sizeof r[i]);
  const Pair rows[2] = {__builtin_shufflevector(r[0], r[1], 0, 2), __builtin_shufflevector(r[0], r[1], 1, 3)};
  for (int i = 0; i < 2; ++i) __builtin_memcpy(to + i * step, &rows[i], sizeof rows[i]);
}

/// to[p * step + j] = from[j * ld + p] for j < width, 0 up to `step`; p < k.
template <class T>
void pack_transposed(T* to, int64_t step, const T* from, int64_t ld, int64_t width, int64_t k) {
  constexpr int64_t kSide = 16 / static_cast<int64_t>(sizeof(T));
  int64_t j = 0;
  for (; j + kSide <= width; j += kSide) {
    int64_t p = 0;
    for (; p + kSide <= k; p += kSide) transpose_square(to + p * step + j, step, from + j * ld + p, ld);
    for (; p < k; ++p) {
      for (int64_t r = j; r < j + kSide; ++r) to[p * step + r] = from[r * ld + p];
    }
  }
  for (; j < step; ++j) {
    for (int64_t p = 0; p < k; ++p) to[p * step + j] = j < width ? from[j * ld + p] : T{0};
  }
}

/// Columns [lo, hi) of a B stored (k, n): row by row, so that memory is read in order.
template <class T>
void pack_rows(T* packed, const T* b, const GemmShape& s, int64_t lo, int64_t hi) {
  for (int64_t p = 0; p < s.k; ++p) {
    const T* from = b + p * s.ldb;
    int64_t j = lo;
    for (; j + kPanel<T> <= hi; j += kPanel<T>) {
      T* to = packed + j * s.k + p * kPanel<T>;
      store<T>(to, load(from + j));
      store<T>(to + kLanes<T>, load(from + j + kLanes<T>));
    }
    if (j == hi) continue;
    const int64_t width = hi - j, step = width > kLanes<T> ? kPanel<T> : kLanes<T>;
    T* to = packed + j * s.k + p * step;
    for (int64_t i = 0; i < step; ++i) to[i] = i < width ? from[j + i] : T{0};
  }
}

template <class T>
void pack(T* packed, const T* b, const GemmShape& s, int64_t lo, int64_t hi) {
  if (!s.transpose_b) return pack_rows(packed, b, s, lo, hi);
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
void gemm_packed_f32(float* c, const float* a, const float* packed, const GemmShape& shape, float* scratch) {
  multiply_packed(c, a, packed, shape, scratch);
}
void gemm_packed_f64(double* c, const double* a, const double* packed, const GemmShape& shape,
                     double* scratch) {
  multiply_packed(c, a, packed, shape, scratch);
}
void gemm_dots_f32(float* c, const float* a, const float* b, const DotShape& shape) {
  dots(c, a, b, shape);
}
void gemm_dots_f64(double* c, const double* a, const double* b, const DotShape& shape) {
  dots(c, a, b, shape);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
