#include "core/kernels/reduce.h"

#include "core/axis_groups.h"
#include "core/cpu/isa_reduce.h"
#include "core/cpu/loop_nest.h"
#include "core/kernels/elementwise.h"

namespace lathe::kernels::cpu {
namespace {

namespace isa = lathe::cpu;
using isa::pick;

constexpr int64_t kChunk = isa::kElementGrain;  // elements of a partial sum
constexpr int64_t kTile = 1024;                 // columns summed together: 8 KiB of f64 sums stay in L1

/// y[k] = factor * sum of x[k n .. (k + 1) n)
template <class T>
void sum_contiguous(T* y, const T* x, int64_t count, int64_t n, double factor) {
  const int64_t chunks = chunk_count(n, kChunk);
  if (chunks == 1) {
    parallel_for(count, isa::row_grain(n), [&](int64_t lo, int64_t hi) {
      for (int64_t k = lo; k < hi; ++k) {
        y[k] = static_cast<T>(factor * pick<T>(isa::sum_f32, isa::sum_f64)(x + k * n, n));
      }
    });
    return;
  }
  Tensor scratch = Tensor::empty({count, chunks}, DType::F64);
  double* partial = scratch.mut<double>();
  parallel_for(count * chunks, 1, [&](int64_t task, int64_t) {
    const int64_t k = task / chunks, first = task % chunks * kChunk;
    partial[task] = pick<T>(isa::sum_f32, isa::sum_f64)(x + k * n + first, std::min(kChunk, n - first));
  });
  for (int64_t k = 0; k < count; ++k) {
    y[k] = static_cast<T>(factor * lathe::cpu::sum_f64(partial + k * chunks, chunks));
  }
}

/// y (outer, columns) = factor * the sum of x (outer, n, columns) over its middle axis.
template <class T>
void sum_rows(T* y, const T* x, int64_t outer, int64_t n, int64_t columns, double factor) {
  const int64_t width = std::min(columns, kTile);
  const int64_t tiles = chunk_count(columns, width);
  const int64_t rows = std::max<int64_t>(1, kChunk / width);  // rows of a partial sum
  const int64_t chunks = chunk_count(n, rows);
  Tensor scratch;
  if (chunks > 1) scratch = Tensor::empty({outer, chunks, columns}, DType::F64);
  double* partial = chunks > 1 ? scratch.mut<double>() : nullptr;
  const auto store = [&](T* out, const double* total, int64_t w) {
    for (int64_t j = 0; j < w; ++j) out[j] = static_cast<T>(factor * total[j]);
  };
  parallel_for(
      outer * chunks * tiles, isa::row_grain(std::min(n, rows) * width), [&](int64_t lo, int64_t hi) {
        for (int64_t task = lo; task < hi; ++task) {
          const int64_t column = task % tiles * width, chunk = task / tiles % chunks,
                        o = task / tiles / chunks;
          const int64_t w = std::min(width, columns - column);
          std::array<double, kTile> total;
          std::fill_n(total.begin(), w, 0.0);
          pick<T>(isa::add_rows_f32, isa::add_rows_f64)(total.data(),
                                                        x + (o * n + chunk * rows) * columns + column,
                                                        std::min(rows, n - chunk * rows), w, columns);
          if (chunks == 1) {
            store(y + o * columns + column, total.data(), w);
          } else {
            std::copy_n(total.begin(), w, partial + (o * chunks + chunk) * columns + column);
          }
        }
      });
  if (chunks == 1) return;
  parallel_for(outer * tiles, isa::row_grain(chunks * width), [&](int64_t lo, int64_t hi) {
    for (int64_t task = lo; task < hi; ++task) {
      const int64_t column = task % tiles * width, o = task / tiles;
      const int64_t w = std::min(width, columns - column);
      std::array<double, kTile> total;
      std::fill_n(total.begin(), w, 0.0);
      isa::add_rows_f64(total.data(), partial + o * chunks * columns + column, chunks, w, columns);
      store(y + o * columns + column, total.data(), w);
    }
  });
}

template <class T>
void sum_typed(Tensor& y, Tensor x, AxisMask axes, double factor) {
  AxisGroups groups(x.shape(), axes);
  for (int left = groups.reduced(); left > 0; --left) {
    const int at = groups.innermost_reduced();
    const int64_t outer = groups.extent(0, at), n = groups.extent(at, at + 1);
    const int64_t inner = groups.extent(at + 1, groups.size());
    Tensor target = left == 1 ? y : x.empty_like({outer, inner});
    T* out = target.mut<T>();
    if (inner == 1) {
      sum_contiguous(out, x.ptr<T>(), outer, n, left == 1 ? factor : 1);
    } else {
      sum_rows(out, x.ptr<T>(), outer, n, inner, left == 1 ? factor : 1);
    }
    x = target;
    groups.erase(at);
  }
}

}  // namespace

void sum(Tensor& y, const Tensor& x, AxisMask axes, double factor) {
  if (x.numel() == 0) return fill(y, factor * 0.0);
  if (x.numel() == y.numel()) {
    Tensor flat = y.view(x.shape());
    return unary(flat, x, UnaryOp::Scale, {.a = factor});
  }
  dispatch_floating(x.dtype(), "sum", [&]<class T>() { sum_typed<T>(y, x, axes, factor); });
}

}  // namespace lathe::kernels::cpu
