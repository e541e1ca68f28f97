#include "core/cpu/gemm.h"

#include <algorithm>

#include "core/cpu/by_type.h"
#include "core/parallel.h"
#include "core/tensor.h"

namespace lathe::cpu {
namespace {

// Multiply-accumulates below which another task costs more than it gains (some microseconds of work).
constexpr int64_t kMinTaskMacs = 1 << 18;
// Tasks that a product is cut into when it is large enough, so that a few threads share it evenly.
constexpr int64_t kWantedTasks = 16;

struct Tiling {
  int64_t m, n;  // rows and columns of one tile
  int64_t rows, columns;
  int64_t count() const { return rows * columns; }
};

/// ceil(extent / parts) rounded up to a multiple of `unit`: tiles of even size.
int64_t even_tile(int64_t extent, int64_t largest, int64_t unit) {
  const int64_t parts = chunk_count(extent, largest);
  return std::max(unit, chunk_count(chunk_count(extent, parts), unit) * unit);
}

// 128 x 256 fills a core's cache best; smaller only where that leaves too few tasks.
Tiling plan_tiles(int64_t m, int64_t n, int64_t k) {
  int64_t largest_m = 128, largest_n = 256;
  for (;;) {
    Tiling t{even_tile(m, largest_m, 8), even_tile(n, largest_n, 16), 0, 0};
    t.rows = chunk_count(m, t.m);
    t.columns = chunk_count(n, t.n);
    const bool divisible = largest_n > 32 || largest_m > 16;
    if (t.count() >= kWantedTasks || t.m * t.n * k <= kMinTaskMacs || !divisible) return t;
    if (t.n > t.m && largest_n > 32) {
      largest_n /= 2;
    } else if (largest_m > 16) {
      largest_m /= 2;
    } else {
      largest_n /= 2;
    }
  }
}

// Length of a chunk of k, or k itself when the output has enough tiles to share.
int64_t plan_split(int64_t m, int64_t n, int64_t k) {
  constexpr int64_t kShortest = 1024, kMostChunks = 32, kLargestOutput = 1 << 16;
  if (m * n > kLargestOutput || k < 4 * kShortest) return k;
  const int64_t chunks = std::min(kMostChunks, k / kShortest);
  return chunk_count(chunk_count(k, chunks), 64) * 64;
}

template <class T>
void tile_gemm(T* c, const T* a, const T* b, GemmShape s, const Tiling& t, int64_t index) {
  const int64_t i = index / t.columns * t.m, j = index % t.columns * t.n;
  c += i * s.ldc + j;
  a += s.transpose_a ? i : i * s.lda;
  b += s.transpose_b ? j * s.ldb : j;
  s.m = std::min(t.m, s.m - i);
  s.n = std::min(t.n, s.n - j);
  serial_gemm(c, a, b, s);
}

template <class T>
void split_gemm(T* c, const T* a, const T* b, const GemmShape& s, int64_t length) {
  const int64_t chunks = chunk_count(s.k, length), size = s.m * s.n;
  Tensor scratch = Tensor::empty({chunks, size}, dtype_of<T>());
  T* partial = scratch.mut<T>();
  parallel_for(chunks, 1, [&](int64_t chunk, int64_t) {
    const int64_t lo = chunk * length;
    GemmShape part = s;
    part.k = std::min(length, s.k - lo);
    part.ldc = s.n;
    part.accumulate = false;
    serial_gemm(partial + chunk * size, a + (s.transpose_a ? lo * s.lda : lo),
                b + (s.transpose_b ? lo : lo * s.ldb), part);
  });
  const int64_t grain = std::max<int64_t>(1, 4096 / s.n);
  parallel_for(s.m, grain, [&](int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; ++i) {
      T* row = c + i * s.ldc;
      if (!s.accumulate) std::fill(row, row + s.n, T{0});
      for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        const T* part = partial + chunk * size + i * s.n;
        for (int64_t j = 0; j < s.n; ++j) row[j] += part[j];
      }
    }
  });
}

template <class T>
void add_rows(T* c, const T* bias, const GemmShape& s) {
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < s.n; ++j) c[i * s.ldc + j] += bias[j];
  }
}

}  // namespace

template <Floating T>
void serial_gemm(T* c, const T* a, const T* b, const GemmShape& shape) {
  by_type<T>(serial_gemm_f32, serial_gemm_f64)(c, a, b, shape);
}

template <Floating T>
void gemm(T* c, const T* a, const T* b, const GemmShape& shape, const T* bias) {
  LATHE_ASSERT(bias == nullptr || !shape.accumulate);
  if (shape.m == 0 || shape.n == 0) return;
  const int64_t length = plan_split(shape.m, shape.n, shape.k);
  if (length < shape.k) {
    split_gemm(c, a, b, shape, length);
    if (bias != nullptr) add_rows(c, bias, shape);
    return;
  }
  const Tiling tiling = plan_tiles(shape.m, shape.n, shape.k);
  const int64_t macs = tiling.m * tiling.n * std::max<int64_t>(shape.k, 1);
  parallel_for(tiling.count(), std::max<int64_t>(1, kMinTaskMacs / 2 / macs), [&](int64_t lo, int64_t hi) {
    for (int64_t index = lo; index < hi; ++index) {
      GemmShape s = shape;
      if (bias != nullptr) {
        // The product is added to rows that start as the bias: no pass of its own.
        const int64_t i = index / tiling.columns * tiling.m, j = index % tiling.columns * tiling.n;
        const int64_t width = std::min(tiling.n, s.n - j);
        for (int64_t row = i; row < std::min(i + tiling.m, s.m); ++row) {
          std::copy(bias + j, bias + j + width, c + row * s.ldc + j);
        }
        s.accumulate = true;
      }
      tile_gemm(c, a, b, s, tiling, index);
    }
  });
}

template <Floating T>
void batched_gemm(T* c, const T* a, const T* b, const GemmShape& shape, std::span<const GemmOffsets> items,
                  int64_t terms) {
  LATHE_ASSERT(terms >= 1 && static_cast<int64_t>(items.size()) % terms == 0);
  if (shape.m == 0 || shape.n == 0) return;
  const int64_t outputs = static_cast<int64_t>(items.size()) / terms;
  if (outputs == 1) {
    GemmShape s = shape;
    for (const GemmOffsets& item : items) {
      gemm(c + item.c, a + item.a, b + item.b, s);
      s.accumulate = true;
    }
    return;
  }
  // Whole products are the tasks when there are many of them, else their tiles.
  Tiling tiling{shape.m, shape.n, 1, 1};
  if (outputs < kWantedTasks) tiling = plan_tiles(shape.m, shape.n, shape.k * terms);
  const int64_t macs = tiling.m * tiling.n * std::max<int64_t>(shape.k, 1) * terms;
  const int64_t tasks = outputs * tiling.count();
  parallel_for(tasks, std::max<int64_t>(1, kMinTaskMacs / 2 / macs), [&](int64_t lo, int64_t hi) {
    for (int64_t task = lo; task < hi; ++task) {
      GemmShape s = shape;
      for (int64_t term = 0; term < terms; ++term) {
        const GemmOffsets& item = items[static_cast<size_t>(task / tiling.count() * terms + term)];
        tile_gemm(c + item.c, a + item.a, b + item.b, s, tiling, task % tiling.count());
        s.accumulate = true;
      }
    }
  });
}

#define LATHE_INSTANTIATE(T)                                                                            \
  template void serial_gemm<T>(T*, const T*, const T*, const GemmShape&);                               \
  template void gemm<T>(T*, const T*, const T*, const GemmShape&, const T*);                            \
  template void batched_gemm<T>(T*, const T*, const T*, const GemmShape&, std::span<const GemmOffsets>, \
                                int64_t);
LATHE_INSTANTIATE(float)
LATHE_INSTANTIATE(double)
#undef LATHE_INSTANTIATE

}  // namespace lathe::cpu
