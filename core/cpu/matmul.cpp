#include "core/kernels/matmul.h"

#include <algorithm>
#include <vector>

#include "core/cpu/by_type.h"
#include "core/cpu/gemm.h"
#include "core/cpu/norm_parts.h"
#include "core/parallel.h"

namespace lathe::kernels::cpu {
namespace {

using lathe::cpu::GemmOffsets;
using lathe::cpu::GemmShape;

constexpr int kMaxBatchRank = Shape::kMaxRank - 2;

// Leading axes of (..., rows, columns), aligned at the end and filled up with ones.
struct BatchAxes {
  int64_t extent[kMaxBatchRank];
  int64_t count = 1;

  explicit BatchAxes(const Shape& shape) {
    const int rank = shape.rank() - 2;
    for (int axis = 0; axis < kMaxBatchRank; ++axis) {
      const int i = axis - (kMaxBatchRank - rank);
      extent[axis] = i < 0 ? 1 : shape[i];
      count *= extent[axis];
    }
  }
  // Number of the matrix that joint index `index` (one per axis) reads.
  int64_t matrix(const int64_t* index) const {
    int64_t number = 0;
    for (int axis = 0; axis < kMaxBatchRank; ++axis) {
      number = number * extent[axis] + (extent[axis] == 1 ? 0 : index[axis]);
    }
    return number;
  }
};

struct Product {
  BatchAxes y, a, b;
  GemmShape shape;
  int64_t joint[kMaxBatchRank];
  int64_t joint_count = 1;

  Product(const Tensor& ty, const Tensor& ta, const Tensor& tb, const MatmulFlags& flags)
      : y(ty.shape()), a(ta.shape()), b(tb.shape()) {
    shape.m = ty.dim(-2);
    shape.n = ty.dim(-1);
    shape.k = ta.dim(flags.transpose_a ? -2 : -1);
    shape.transpose_a = flags.transpose_a;
    shape.transpose_b = flags.transpose_b;
    shape.lda = ta.dim(-1);
    shape.ldb = tb.dim(-1);
    shape.ldc = shape.n;
    for (int axis = 0; axis < kMaxBatchRank; ++axis) {
      joint[axis] = a.extent[axis] == 1 ? b.extent[axis] : a.extent[axis];
      joint_count *= joint[axis];
    }
  }

  /// One product over all rows when every matrix of a meets the same b; one over all terms when the products
  /// of stacked rows are summed. True when the batch is a single product now.
  bool collapse() {
    if (joint_count == 1) return true;
    if (b.count == 1 && a.count == joint_count && y.count == joint_count && !shape.transpose_a) {
      shape.m *= joint_count;
      return true;
    }
    if (y.count == 1 && a.count == joint_count && b.count == joint_count && shape.transpose_a &&
        !shape.transpose_b) {
      shape.k *= joint_count;
      return true;
    }
    return false;
  }

  /// Offsets of all products, those of one output together and in joint order.
  std::vector<GemmOffsets> offsets() const {
    const int64_t terms = joint_count / y.count;
    std::vector<GemmOffsets> items(static_cast<size_t>(joint_count));
    std::vector<int64_t> seen(static_cast<size_t>(y.count));
    int64_t index[kMaxBatchRank] = {};
    for (int64_t i = 0; i < joint_count; ++i) {
      const int64_t output = y.matrix(index);
      items[static_cast<size_t>(output * terms + seen[static_cast<size_t>(output)]++)] = {
          a.matrix(index) * shape.m * shape.k, b.matrix(index) * shape.k * shape.n,
          output * shape.m * shape.n};
      for (int axis = kMaxBatchRank - 1; axis >= 0; --axis) {
        if (++index[axis] < joint[axis]) break;
        index[axis] = 0;
      }
    }
    return items;
  }
};

}  // namespace

void matmul(Tensor& y, const Tensor& a, const Tensor& b, const Tensor& bias, const MatmulFlags& flags) {
  Product product(y, a, b, flags);
  dispatch_floating(y.dtype(), "matmul", [&]<class T>() {
    T* out = y.mut<T>();
    if (product.y.count == 0) return;
    if (product.joint_count == 0) return std::fill(out, out + y.numel(), T{0});
    const T* add = bias.defined() ? bias.ptr<T>() : nullptr;
    if (product.collapse())
      return lathe::cpu::gemm(out, a.ptr<T>(), b.ptr<T>(), product.shape, {.bias = add});
    LATHE_ASSERT(add == nullptr, "matmul: bias with a batched right operand");
    const std::vector<GemmOffsets> items = product.offsets();
    lathe::cpu::batched_gemm<T>(out, a.ptr<T>(), b.ptr<T>(), product.shape, items,
                                product.joint_count / product.y.count);
  });
}

void column_sum(Tensor& y, const Tensor& x) {
  const int64_t channels = y.numel();
  const lathe::cpu::RowChunk all{channels == 0 ? 0 : x.numel() / channels, channels};
  dispatch_floating(y.dtype(), "column_sum", [&]<class T>() {
    const lathe::cpu::ChannelParts parts(all, 1);
    Tensor scratch = parts.scratch();
    double* part = scratch.mut<double>();
    const T* in = x.ptr<T>();
    parallel_for(all.rows, parts.rows, [&](int64_t lo, int64_t hi) {
      lathe::cpu::by_type<T>(lathe::cpu::channel_sums_f32, lathe::cpu::channel_sums_f64)(
          parts.at(part, lo), in + lo * channels, {hi - lo, channels});
    });
    const std::vector<double> sum = parts.total(part);
    T* out = y.mut<T>();
    for (size_t j = 0; j < sum.size(); ++j) out[j] = static_cast<T>(sum[j]);
  });
}

}  // namespace lathe::kernels::cpu
