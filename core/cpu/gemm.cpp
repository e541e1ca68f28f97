#include "core/cpu/gemm.h"

#include <algorithm>

#include "core/cpu/by_type.h"
#include "core/cpu/conv_scratch.h"
#include "core/cpu/isa_elementwise.h"
#include "core/parallel.h"
#include "core/tensor.h"

namespace lathe::cpu {
namespace {

// Multiply-accumulates below which another task costs more than it gains (some microseconds of work).
constexpr int64_t kMinTaskMacs = 1 << 17;
// Tasks that a product is cut into when it is large enough, so that a few threads share it evenly.
constexpr int64_t kWantedTasks = 16;
// Rows of A for which packing B does not pay.
constexpr int64_t kFewRows = 8;
// Terms whose share of B is packed at a time: bounds the copy of B.
constexpr int64_t kSlab = 2048;
// Bytes of a copy that one task makes for itself: they stay in a second-level cache beside A. And its terms.
constexpr int64_t kOwnCopy = 256 * 1024;
constexpr int64_t kLeastOwnTerms = 256;

/// Rows and columns of C that one task makes.
struct Tiling {
  int64_t m, n;
  int64_t rows, columns;  // of tiles
  int64_t count() const { return rows * columns; }
};

int64_t round_up(int64_t n, int64_t unit) {
  return chunk_count(n, unit) * unit;
}

/// Extent of `parts` even tiles of at most `largest`, a multiple of `unit`.
int64_t even_tile(int64_t extent, int64_t largest, int64_t unit) {
  return std::max(unit, round_up(chunk_count(extent, chunk_count(extent, largest)), unit));
}

// All columns where they are not many, since each tile of a row reads A again; smaller where that leaves too
// few tasks.
Tiling plan_tiles(int64_t m, int64_t n, int64_t k) {
  int64_t largest_m = 264, largest_n = 1024;
  for (;;) {
    Tiling t{even_tile(m, largest_m, 4), even_tile(n, largest_n, kGemmColumns), 0, 0};
    t.rows = chunk_count(m, t.m);
    t.columns = chunk_count(n, t.n);
    const bool smallest = largest_n <= kGemmColumns && largest_m <= 12;
    if (t.count() >= kWantedTasks || t.m * t.n * k <= kMinTaskMacs || smallest) return t;
    if (largest_m <= 12 || (t.n >= t.m && largest_n > kGemmColumns && largest_m <= 132)) {
      largest_n = std::max(kGemmColumns, largest_n / 2);
    } else {
      largest_m = std::max<int64_t>(12, largest_m / 2);
    }
  }
}

// Length of a chunk of k, or k itself when the output has enough tiles to share. A chunk reads its share of
// both operands once, and its partial product is little beside them.
int64_t plan_split(int64_t m, int64_t n, int64_t k) {
  constexpr int64_t kShortest = 256, kLong = 4096, kMostChunks = 32;
  constexpr int64_t kLargestOutput = 1 << 18, kMostPartial = 1 << 21;
  if (m * n > kLargestOutput || k < 8 * kShortest || k < 2 * std::max(m, n)) return k;
  const int64_t chunks = std::min({kMostChunks, std::max<int64_t>(8, k / kLong), kMostPartial / (m * n)});
  return round_up(chunk_count(k, chunks), 8);
}

template <class T>
Tensor scratch(int64_t elements) {
  return Tensor::empty({std::max<int64_t>(1, elements)}, dtype_of<T>());
}

/// Can the product be made of dot products of stored rows? Then how, with the longer side as B.
template <class T>
struct Dots {
  DotShape shape;
  const T *a = nullptr, *b = nullptr;

  Dots(const T* left, const T* right, const GemmShape& s) {
    const bool contiguous_b = s.transpose_b || (s.n == 1 && s.ldb == 1);
    if (s.transpose_a || !contiguous_b) return;
    const int64_t ldb = s.transpose_b ? s.ldb : s.k;
    if (s.m <= kFewRows) {
      shape = {s.m, s.n, s.k, s.lda, ldb, s.ldc, 1};
      a = left;
      b = right;
    } else if (s.n == 1) {
      shape = {1, s.m, s.k, ldb, s.lda, 1, s.ldc};
      a = right;
      b = left;
    }
  }
  bool possible() const { return a != nullptr; }
  void run(T* c, int64_t lo, int64_t hi, bool accumulate) const {
    DotShape s = shape;
    s.n = hi - lo;
    s.accumulate = accumulate;
    by_type<T>(gemm_dots_f32, gemm_dots_f64)(c + lo * s.column, a, b + lo * s.ldb, s);
  }
};

template <class T>
void pack(T* packed, const T* b, const GemmShape& s, int64_t lo, int64_t hi) {
  by_type<T>(gemm_pack_f32, gemm_pack_f64)(packed, b, s, lo, hi);
}

/// Rows [lo, hi) of C become the addends, or 0; then products may be added.
template <class T>
void start_rows(T* c, const GemmFusion<T>& add, const GemmShape& s, int64_t lo, int64_t hi) {
  for (int64_t i = lo; i < hi; ++i) {
    T* row = c + i * s.ldc;
    if (add.bias != nullptr) {
      std::copy(add.bias, add.bias + s.n, row);
    } else {
      std::fill(row, row + s.n, T{0});
    }
    if (add.rows == nullptr) continue;
    for (int64_t j = 0; j < s.n; ++j) row[j] += add.rows[i * s.ldc + j];
  }
}

/// Rows of a tile that are multiplied at a time: what they read of A fits the second-level cache.
int64_t block_rows(int64_t m) {
  constexpr int64_t kMostRows = 72;
  return even_tile(m, kMostRows, 12);
}

/// Rows [0, s.m) of C in blocks, from B packed; `next_a` is what is read of A after them, `next_rows` rows.
template <class T>
void multiply_rows(PackedProduct<T> o, const GemmShape& s, const T* next_a, int64_t next_rows) {
  const int64_t step = block_rows(s.m), a_step = s.transpose_a ? 1 : s.lda;
  T *const c = o.c, *const sums = o.sums;
  const T *const a = o.a, *const start = o.start;
  for (int64_t i = 0; i < s.m; i += step) {
    GemmShape block = s;
    block.m = std::min(step, s.m - i);
    o.c = c + i * s.ldc;
    o.a = a + i * a_step;
    if (start != nullptr) o.start = start + i * o.start_step;
    if (sums != nullptr) o.sums = sums + i;
    const int64_t after = i + block.m;
    o.next_a = after < s.m ? a + after * a_step : next_a;
    o.next_rows = after < s.m ? std::min(step, s.m - after) : next_rows;
    by_type<T>(gemm_packed_f32, gemm_packed_f64)(o, block);
  }
}

/// Whether terms are rows of both operands, so few that a block of them and the next one stay in a
/// second-level cache: then blocks of C read them where they are, 128 bytes of B for 24 FMAs.
template <class T>
bool stays_close(const GemmShape& s) {
  constexpr int64_t kMostBytes = 1024;  // of a term
  return s.transpose_a && !s.transpose_b && s.n % 16 == 0 && s.k > 0 &&
         (s.m + s.n) * static_cast<int64_t>(sizeof(T)) <= kMostBytes;
}

/// The serial product; `sums` of op(A), unless null, are added to; `next_a` is what is read of A afterwards.
template <class T>
void serial_product(T* c, const T* a, const T* b, const GemmShape& s, T* sums, const T* next_a,
                    const T* next_b) {
  if (stays_close<T>(s) && sums == nullptr) {
    const PackedProduct<T> o{.c = c,
                             .a = a,
                             .packed = b,
                             .b_step = s.ldb,
                             .start = s.accumulate ? c : nullptr,
                             .start_step = s.ldc,
                             .next_a = next_a,
                             .next_rows = s.m,
                             .next_b = next_b};
    return by_type<T>(gemm_packed_f32, gemm_packed_f64)(o, s);
  }
  // The terms of one pack bound the copy of B.
  const int64_t term_bytes = packed_size(s.n, 1) * static_cast<int64_t>(sizeof(T));
  const int64_t slab =
      even_tile(std::max<int64_t>(s.k, 1), std::clamp(kOwnCopy / term_bytes, kLeastOwnTerms, kSlab), 8);
  const int64_t packed_elements = round_up(packed_size(s.n, slab), 16);
  thread_local ConvScratch scratch_of_thread;
  T* const packed = scratch_of_thread.take<T>(packed_elements + gemm_scratch_size(block_rows(s.m)));
  T* const a_copy = packed + packed_elements;
  for (int64_t p = 0; p < s.k; p += slab) {
    GemmShape part = s;
    part.k = std::min(slab, s.k - p);
    pack(packed, b + (s.transpose_b ? p : p * s.ldb), part, 0, s.n);
    PackedProduct<T> o{.c = c,
                       .a = a + (s.transpose_a ? p * s.lda : p),
                       .packed = packed,
                       .start = s.accumulate || p > 0 ? c : nullptr,
                       .start_step = s.ldc,
                       .sums = sums,
                       .scratch = a_copy};
    const T* next = p + slab < s.k ? o.a + (s.transpose_a ? slab * s.lda : slab) : next_a;
    multiply_rows<T>(o, part, next, next != nullptr ? std::min(block_rows(s.m), s.m) : 0);
  }
}

/// C += op(A) op(B), sums += those of op(A), in chunks of `length` terms.
template <class T>
void split_gemm(T* c, const T* a, const T* b, const GemmShape& s, T* sums, int64_t length) {
  const int64_t chunks = chunk_count(s.k, length), size = s.m * s.n, per_chunk = size + s.m;
  Tensor parts = scratch<T>((chunks - 1) * per_chunk);
  T* partial = parts.mut<T>();
  parallel_for(chunks, 1, [&](int64_t chunk, int64_t) {
    const int64_t lo = chunk * length;
    GemmShape part = s;
    part.k = std::min(length, s.k - lo);
    T *to = c, *to_sums = sums;
    if (chunk > 0) {
      to = partial + (chunk - 1) * per_chunk;
      part.ldc = s.n;
      part.accumulate = false;
      if (sums != nullptr) {
        to_sums = to + size;
        std::fill(to_sums, to_sums + s.m, T{0});
      }
    }
    const T *terms = a + (s.transpose_a ? lo * s.lda : lo), *rows = b + (s.transpose_b ? lo : lo * s.ldb);
    if (Dots<T>(terms, rows, part).possible()) return serial_gemm(to, terms, rows, part);
    const int64_t next = lo + num_threads() * length;  // what this thread will likely take next
    const bool more = next + length <= s.k;
    serial_product<T>(to, terms, rows, part, to_sums,
                      more ? a + (s.transpose_a ? next * s.lda : next) : nullptr,
                      more ? b + (s.transpose_b ? next : next * s.ldb) : nullptr);
  });
  const auto add = by_type<T>(accumulate_f32, accumulate_f64);
  parallel_for(s.m, std::max<int64_t>(1, 4096 / s.n), [&](int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; ++i) {
      for (int64_t chunk = 1; chunk < chunks; ++chunk) {
        add(c + i * s.ldc, partial + (chunk - 1) * per_chunk + i * s.n, s.n);
      }
    }
  });
  for (int64_t chunk = 1; sums != nullptr && chunk < chunks; ++chunk) {
    add(sums, partial + (chunk - 1) * per_chunk + size, s.m);
  }
}

/// C (+)= op(A) op(B) in tiles, B packed once for all of them.
template <class T>
void tiled_gemm(T* c, const T* a, const T* b, const GemmShape& s, const GemmFusion<T>& add) {
  const Tiling t = plan_tiles(s.m, s.n, s.k);
  const int64_t slab = std::min(s.k, kSlab);
  Tensor storage = scratch<T>(packed_size(s.n, slab));
  T* packed = storage.mut<T>();
  for (int64_t p = 0; p < s.k; p += slab) {
    GemmShape part = s;
    part.k = std::min(slab, s.k - p);
    const T* terms = a + (s.transpose_a ? p * s.lda : p);
    const T* rows = b + (s.transpose_b ? p : p * s.ldb);
    const T* start = s.accumulate || p > 0 ? c : add.rows;
    const int64_t grain = round_up(std::max<int64_t>(1, 65536 / part.k), kGemmColumns);
    parallel_for(s.n, grain, [&](int64_t lo, int64_t hi) { pack(packed, rows, part, lo, hi); });
    const int64_t macs = t.m * t.n * part.k;
    parallel_for(t.count(), std::max<int64_t>(1, kMinTaskMacs / macs), [&](int64_t lo, int64_t hi) {
      thread_local ConvScratch scratch_of_thread;
      T* const copy = scratch_of_thread.take<T>(gemm_scratch_size(block_rows(t.m)));
      for (int64_t index = lo; index < hi; ++index) {
        const int64_t i = index / t.columns * t.m, j = index % t.columns * t.n;
        GemmShape tile = part;
        tile.m = std::min(t.m, s.m - i);
        tile.n = std::min(t.n, s.n - j);
        PackedProduct<T> o{.c = c + i * s.ldc + j,
                           .a = terms + (s.transpose_a ? i : i * s.lda),
                           .packed = packed + j * part.k,
                           .start = start != nullptr ? start + i * s.ldc + j : nullptr,
                           .start_step = s.ldc,
                           .bias = p == 0 && add.bias != nullptr ? add.bias + j : nullptr,
                           .gelu = add.gelu,
                           .sums = add.sums != nullptr && j == 0 ? add.sums + i : nullptr,
                           .scratch = copy};
        const int64_t next = i + num_threads() * t.m;  // likewise
        const bool more = next < s.m && j + tile.n == s.n;
        multiply_rows<T>(o, tile, more ? terms + (s.transpose_a ? next : next * s.lda) : nullptr,
                         more ? std::min(block_rows(t.m), s.m - next) : 0);
        if (add.done != nullptr && p + slab >= s.k) (*add.done)(i, tile.m, j, tile.n);
      }
    });
  }
}

}  // namespace

template <Floating T>
void serial_gemm(T* c, const T* a, const T* b, const GemmShape& s) {
  if (s.m == 0 || s.n == 0) return;
  const Dots<T> dots(a, b, s);
  if (dots.possible()) return dots.run(c, 0, dots.shape.n, s.accumulate);
  if (!s.accumulate && s.k == 0) return start_rows<T>(c, {}, s, 0, s.m);
  serial_product<T>(c, a, b, s, nullptr, nullptr, nullptr);
}

namespace {

/// Where no tile maps A: gelu(a) in memory.
template <class T>
void gemm_of_gelu(T* c, const T* a, const T* b, const GemmShape& s, GemmFusion<T> fusion) {
  Tensor storage = scratch<T>(s.m * s.k);
  T* mapped = storage.mut<T>();
  parallel_for(s.m, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, s.k)), [&](int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; ++i)
      by_type<T>(unary_f32, unary_f64)(mapped + i * s.k, a + i * s.lda, s.k, UnaryOp::Gelu, {});
  });
  GemmShape shape = s;
  shape.lda = s.k;
  fusion.gelu = false;
  gemm(c, mapped, b, shape, fusion);
}

}  // namespace

template <Floating T>
void gemm(T* c, const T* a, const T* b, const GemmShape& shape, const GemmFusion<T>& add) {
  LATHE_ASSERT((add.bias == nullptr && add.rows == nullptr) || !shape.accumulate);
  LATHE_ASSERT((!add.gelu || !shape.transpose_a) && (add.sums == nullptr || shape.transpose_a));
  if (shape.m == 0 || shape.n == 0) return;
  const int64_t length = plan_split(shape.m, shape.n, shape.k);
  const Dots<T> dots(a, b, shape);
  if (add.sums != nullptr) std::fill(add.sums, add.sums + shape.m, T{0});
  if (shape.k > 0 && length == shape.k && !dots.possible()) return tiled_gemm(c, a, b, shape, add);
  if (add.gelu) return gemm_of_gelu(c, a, b, shape, add);
  const int64_t row_grain = std::max<int64_t>(1, 16384 / shape.n);
  GemmShape sum = shape;
  if (!shape.accumulate) {
    parallel_for(shape.m, row_grain, [&](int64_t lo, int64_t hi) { start_rows(c, add, shape, lo, hi); });
    sum.accumulate = true;
  }
  if (length < shape.k) {
    split_gemm(c, a, b, sum, add.sums, length);
  } else if (dots.possible()) {
    const int64_t macs = dots.shape.m * std::max<int64_t>(1, shape.k);
    const int64_t grain = round_up(std::max<int64_t>(1, kMinTaskMacs / macs), 4);
    parallel_for(dots.shape.n, grain, [&](int64_t lo, int64_t hi) { dots.run(c, lo, hi, true); });
  }
  if (add.done == nullptr) return;
  parallel_for(shape.m, row_grain, [&](int64_t lo, int64_t hi) { (*add.done)(lo, hi - lo, 0, shape.n); });
}

template <Floating T>
void batched_gemm(T* c, const T* a, const T* b, const GemmShape& shape, std::span<const GemmOffsets> items,
                  int64_t terms) {
  LATHE_ASSERT(terms >= 1 && static_cast<int64_t>(items.size()) % terms == 0);
  const int64_t outputs = static_cast<int64_t>(items.size()) / terms;
  const auto run = [&](int64_t output, const auto& product) {
    GemmShape s = shape;
    for (const GemmOffsets& item :
         items.subspan(static_cast<size_t>(output * terms), static_cast<size_t>(terms))) {
      product(c + item.c, a + item.a, b + item.b, s);
      s.accumulate = true;
    }
  };
  // Many products are shared out whole, a few large ones in tiles.
  const int64_t macs = std::max<int64_t>(1, shape.m * shape.n * shape.k * terms);
  if (outputs < kWantedTasks && macs > kMinTaskMacs) {
    for (int64_t output = 0; output < outputs; ++output) {
      run(output, [](T* y, const T* left, const T* right, const GemmShape& s) { gemm(y, left, right, s); });
    }
    return;
  }
  parallel_for(outputs, std::max<int64_t>(1, kMinTaskMacs / macs), [&](int64_t lo, int64_t hi) {
    for (int64_t output = lo; output < hi; ++output) run(output, serial_gemm<T>);
  });
}

#define LATHE_INSTANTIATE(T)                                                                            \
  template void serial_gemm<T>(T*, const T*, const T*, const GemmShape&);                               \
  template void gemm<T>(T*, const T*, const T*, const GemmShape&, const GemmFusion<T>&);                \
  template void batched_gemm<T>(T*, const T*, const T*, const GemmShape&, std::span<const GemmOffsets>, \
                                int64_t);
LATHE_INSTANTIATE(float)
LATHE_INSTANTIATE(double)
#undef LATHE_INSTANTIATE

}  // namespace lathe::cpu
