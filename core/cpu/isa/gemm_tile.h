#pragma once
// A block of C in registers: as many rows of A by two vectors of B as leave room for a few operands. The row
// of B comes from the first-level cache, elements of A are broadcast from there, too. A product of large
// matrices is as fast as its operands arrive, so while a block multiplies it asks for what is needed next:
// the lines of C that it will write, and a few lines of whatever part of A is read later (Ahead). Both are
// spread over the terms, a few every kBurst of them: asked for at once they would hold up the loads that the
// block waits for.

#include "core/cpu/isa/vec.h"

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
constexpr int64_t kLine = 64;   // bytes
constexpr int64_t kBurst = 16;  // terms between requests for memory

template <class T>
constexpr int64_t kPanel = 2 * kLanes<T>;

inline int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/// Lines of a matrix that will be read, to be fetched a few at a time, row by row.
struct Ahead {
  const char* row = nullptr;
  int64_t step = 0;   // bytes between rows
  int64_t rows = 0;   // left
  int64_t lines = 0;  // of a row
  int64_t next = 0;   // line of this row
  int64_t quota = 0;  // lines per burst
  const Ahead* then = nullptr;

  void fetch() {
    for (int64_t n = rows > 0 ? quota : 0; n > 0; --n) {
      __builtin_prefetch(row + next * kLine, 0, 2);
      if (++next < lines) continue;
      next = 0;
      row += step;
      if (--rows > 0) continue;
      if (then != nullptr) *this = *then;
      return;
    }
  }
};

/// C (rows, whole vectors) = A B over k terms, plus start + bias where they are given. Rows of B are ldb
/// apart.
template <class T>
struct Block {
  T* c;
  int64_t ldc;
  const T* a;
  int64_t lda;
  int64_t band;  // from one kRows rows of A to the next
  const T* b;
  int64_t ldb;
  int64_t k;
  const T* start = nullptr;  // rows start_step apart; may be C
  int64_t start_step = 0;
  const T* bias = nullptr;  // one row
  Ahead* ahead = nullptr;
};

template <class T, int kHeight, int kVecs>
__attribute__((always_inline)) inline void finish_block(const Block<T>& o, Vec<T> (&sum)[kHeight][kVecs]) {
  if (o.start != nullptr) {
#pragma GCC unroll 16
    for (int i = 0; i < kHeight; ++i) {
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) sum[i][v] += load(o.start + i * o.start_step + v * kLanes<T>);
    }
  }
  if (o.bias != nullptr) {
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) {
      const Vec<T> bias = load(o.bias + v * kLanes<T>);
#pragma GCC unroll 16
      for (int i = 0; i < kHeight; ++i) sum[i][v] += bias;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kHeight; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) store<T>(o.c + i * o.ldc + v * kLanes<T>, sum[i][v]);
  }
}

// A's element of row i and term p is a[i * lda + p] when kByRow, else a[p * lda + i].
template <class T, int kHeight, int kVecs, bool kByRow>
__attribute__((noinline)) void multiply_block(const Block<T>& o) {
  Vec<T> sum[kHeight][kVecs] = {};
  const T *a = o.a, *b = o.b, *c = o.c;
  const int64_t lda = o.lda, ldb = o.ldb;
  const int64_t bursts = (o.k + kBurst - 1) / kBurst;
  const int64_t c_rows = bursts > kHeight ? 1 : (kHeight + bursts - 1) / (bursts > 0 ? bursts : 1);
  const T* const c_end = c + kHeight * o.ldc;
  for (int64_t left = o.k; left > 0; left -= kBurst) {
    for (int64_t i = 0; i < c_rows && c < c_end; ++i, c += o.ldc) {
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) __builtin_prefetch(c + v * kLanes<T>, 1);
    }
    if (o.ahead != nullptr) o.ahead->fetch();
    for (int64_t p = least(left, kBurst); p > 0; --p) {
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
  }
  finish_block<T, kHeight, kVecs>(o, sum);
}

// Heights that blocks come in: kRows, then powers of two for the rows that are left.
constexpr int lower_height(int height) {
  return height > 8 ? 8 : height > 4 ? 4 : height / 2;
}

/// The last rows < kRows rows.
template <class T, bool kByRow, int kHeight>
void multiply_rest(Block<T>& o, int64_t rows, bool wide) {
  if (rows >= kHeight) {
    wide ? multiply_block<T, kHeight, 2, kByRow>(o) : multiply_block<T, kHeight, 1, kByRow>(o);
    rows -= kHeight;
    o.a += kHeight * (kByRow ? o.lda : 1);
    o.c += kHeight * o.ldc;
    if (o.start != nullptr) o.start += kHeight * o.start_step;
  }
  if constexpr (kHeight > 1) {
    if (rows > 0) multiply_rest<T, kByRow, lower_height(kHeight)>(o, rows, wide);
  }
}

template <class T, bool kByRow>
void multiply_rows(Block<T>& o, int64_t rows, bool wide) {
  for (; rows >= kRows; rows -= kRows) {
    wide ? multiply_block<T, kRows, 2, kByRow>(o) : multiply_block<T, kRows, 1, kByRow>(o);
    o.a += o.band;
    o.c += kRows * o.ldc;
    if (o.start != nullptr) o.start += kRows * o.start_step;
  }
  if (rows > 0) multiply_rest<T, kByRow, lower_height(kRows)>(o, rows, wide);
}

/// `rows` rows of C, `width` columns of one panel of B.
template <class T, bool kByRow>
void multiply(Block<T>& o, int64_t rows, int64_t width) {
  const bool wide = width > kLanes<T>;
  if (width == kPanel<T> || width == kLanes<T>) return multiply_rows<T, kByRow>(o, rows, wide);
  T whole[kRows * kPanel<T>];  // vectors that reach beyond C
  for (int64_t i = 0; i < rows; i += kRows) {
    const int64_t height = least(kRows, rows - i);
    Block<T> block = o;
    block.a += i / kRows * o.band;
    block.c = whole;
    block.ldc = kPanel<T>;
    block.start = block.bias = nullptr;
    multiply_rows<T, kByRow>(block, height, wide);
    for (int64_t r = 0; r < height; ++r) {
      const T* from = whole + r * kPanel<T>;
      T* to = o.c + (i + r) * o.ldc;
      for (int64_t j = 0; j < width; ++j) {
        const T start = o.start != nullptr ? o.start[(i + r) * o.start_step + j] : T{0};
        const T bias = o.bias != nullptr ? o.bias[j] : T{0};
        to[j] = from[j] + start + bias;
      }
    }
  }
}

}  // namespace
}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
