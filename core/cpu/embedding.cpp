#include "core/kernels/embedding.h"

#include "core/cpu/isa_reduce.h"
#include "core/cpu/loop_nest.h"

namespace lathe::kernels::cpu {
namespace {

namespace isa = lathe::cpu;

/// Positions of `indices` grouped by index, in order within a group: those of row r stand at
/// order[start[r] .. start[r + 1]).
struct Grouped {
  Tensor start, order;

  Grouped(const Tensor& indices, int64_t rows)
      : start(Tensor::zeros({rows + 1}, DType::I64)), order(Tensor::empty({indices.numel()}, DType::I64)) {
    const int64_t* index = indices.ptr<int64_t>();
    int64_t* first = start.mut<int64_t>();
    int64_t* position = order.mut<int64_t>();
    const int64_t n = indices.numel();
    for (int64_t i = 0; i < n; ++i) ++first[index[i] + 1];
    for (int64_t r = 0; r < rows; ++r) first[r + 1] += first[r];
    for (int64_t i = 0; i < n; ++i) position[first[index[i]]++] = i;
    // Each group's start moved to its end, the next one's start: move them back.
    for (int64_t r = rows; r > 0; --r) first[r] = first[r - 1];
    first[0] = 0;
  }
};

}  // namespace

void embedding_forward(Tensor& y, const Tensor& weight, const Tensor& indices) {
  const int64_t rows = weight.dim(0), dim = weight.dim(1);
  const int64_t* index = indices.ptr<int64_t>();
  dispatch_floating(weight.dtype(), "embedding", [&]<class T>() {
    const T* table = weight.ptr<T>();
    T* out = y.mut<T>();
    parallel_for(indices.numel(), isa::row_grain(dim), [&](int64_t lo, int64_t hi) {
      for (int64_t i = lo; i < hi; ++i) {
        LATHE_CHECK(ShapeError, index[i] >= 0 && index[i] < rows, "embedding: index ", index[i], " at ", i,
                    ", the table has ", rows, " rows");
        std::copy_n(table + index[i] * dim, dim, out + i * dim);
      }
    });
  });
}

void embedding_backward(Tensor& dweight, const Tensor& dy, const Tensor& indices, int64_t padding_idx) {
  constexpr int64_t kTile = 512;        // columns summed together
  constexpr int64_t kRowsPerTask = 16;  // few: frequent indices make some rows long
  const int64_t rows = dweight.dim(0), dim = dweight.dim(1);
  const Grouped grouped(indices, rows);
  const int64_t* start = grouped.start.ptr<int64_t>();
  const int64_t* position = grouped.order.ptr<int64_t>();
  dispatch_floating(dweight.dtype(), "embedding", [&]<class T>() {
    const T* in = dy.ptr<T>();
    T* out = dweight.mut<T>();
    parallel_for(rows, kRowsPerTask, [&](int64_t lo, int64_t hi) {
      std::array<double, kTile> total;
      for (int64_t r = lo; r < hi; ++r) {
        if (r == padding_idx || start[r] == start[r + 1]) {
          std::fill_n(out + r * dim, dim, T(0));
          continue;
        }
        for (int64_t column = 0; column < dim; column += kTile) {
          const int64_t w = std::min(kTile, dim - column);
          std::fill_n(total.begin(), w, 0.0);
          for (int64_t k = start[r]; k < start[r + 1]; ++k) {
            isa::pick<T>(isa::add_rows_f32, isa::add_rows_f64)(total.data(), in + position[k] * dim + column,
                                                               1, w, dim);
          }
          for (int64_t j = 0; j < w; ++j) out[r * dim + column + j] = static_cast<T>(total[j]);
        }
      }
    });
  });
}

void one_hot(Tensor& y, const Tensor& indices) {
  const int64_t classes = y.shape()[-1];
  const int64_t* index = indices.ptr<int64_t>();
  dispatch_floating(y.dtype(), "one_hot", [&]<class T>() {
    T* out = y.mut<T>();
    std::fill_n(out, y.numel(), T(0));
    for (int64_t i = 0; i < indices.numel(); ++i) {
      LATHE_CHECK(DataError, index[i] >= 0 && index[i] < classes, "one_hot: class ", index[i], " of sample ",
                  i, " is outside [0, ", classes, ")");
      out[i * classes + index[i]] = 1;
    }
  });
}

}  // namespace lathe::kernels::cpu
