#include "core/kernels/elementwise.h"
#include "core/kernels/matmul.h"
#include "core/loop_nest.h"
#include "core/math_mode.h"
#include "cuda/device.cuh"
#include "cuda/dispatch.h"
#include "cuda/gemm.h"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

/// Every row of y becomes `row`, or zeros where row is null.
template <class T>
__global__ void fill_rows(T* y, const T* row, int64_t n, int64_t columns) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    store(y, i, row == nullptr ? Arithmetic<T>(0) : load(row, i % columns));
  }
}

void begin_with(Tensor& y, const Tensor& bias) {
  dispatch_arithmetic(y.dtype(), "matmul", [&]<class T>() {
    launch(fill_rows<T>, over(y.numel()), y.mut<T>(), optional_ptr<T>(bias), y.numel(), y.dim(-1));
  });
}

/// Operands of the joint leading axes, see Product::nest.
enum Operand { kY, kA, kB };

/// A product and the loops around it over the leading axes.
struct Product {
  Gemm gemm;
  LoopNest<3> nest;  ///< strides in elements; an axis that y does not have is summed over
  int64_t count = 1;

  Product(const Tensor& y, const Tensor& a, const Tensor& b, const MatmulFlags& flags) {
    gemm.m = y.dim(-2);
    gemm.n = y.dim(-1);
    gemm.k = a.dim(flags.transpose_a ? -2 : -1);
    gemm.lda = a.dim(-1);
    gemm.ldb = b.dim(-1);
    gemm.ldy = gemm.n;
    gemm.transpose_a = flags.transpose_a;
    gemm.transpose_b = flags.transpose_b;
    gemm.in = a.dtype();
    gemm.out = y.dtype();
    gemm.tf32 = gemm.in == DType::F32 && math_mode().tf32;
    gemm.deterministic = math_mode().deterministic;
    const std::array<const Tensor*, 3> operands{&y, &a, &b};
    std::array<int64_t, 3> dense{gemm.m * gemm.n, gemm.m * gemm.k, gemm.k * gemm.n};
    for (int axis = 3; axis <= std::max(a.rank(), b.rank()); ++axis) {
      std::array<int64_t, 3> extent{}, stride{};
      for (int i = 0; i < 3; ++i) {
        extent[i] = axis <= operands[i]->rank() ? operands[i]->dim(-axis) : 1;
        stride[i] = extent[i] == 1 ? 0 : dense[i];
        dense[i] *= extent[i];
      }
      const int64_t joint = extent[kA] == 1 ? extent[kB] : extent[kA];
      nest.push(joint, stride);
      count *= joint;
    }
  }

  /// The innermost axis becomes part of the product where the matrices lie as one: stacked rows of a and y
  /// that meet one b, or stacked terms of one y.
  void fold() {
    if (nest.rank == 0) return;
    const int64_t extent = nest.extent[0];
    const int64_t y = nest.stride[kY][0], a = nest.stride[kA][0], b = nest.stride[kB][0];
    const int64_t m = gemm.m, n = gemm.n, k = gemm.k;
    if (b == 0 && a == m * k && y == m * n && !gemm.transpose_a) {
      gemm.m *= extent;
    } else if (y == 0 && a == m * k && b == k * n && gemm.transpose_a && !gemm.transpose_b) {
      gemm.k *= extent;
    } else {
      return;
    }
    remove(0);
  }

  /// The longest axis of y becomes the batch of one call.
  void batch() {
    int longest = -1;
    for (int axis = 0; axis < nest.rank; ++axis) {
      if (nest.stride[kY][axis] == 0) continue;
      if (longest < 0 || nest.extent[axis] > nest.extent[longest]) longest = axis;
    }
    if (longest < 0) return;
    gemm.batch = nest.extent[longest];
    gemm.stride_y = nest.stride[kY][longest];
    gemm.stride_a = nest.stride[kA][longest];
    gemm.stride_b = nest.stride[kB][longest];
    remove(longest);
  }

  void remove(int axis) {
    for (int i = axis; i + 1 < nest.rank; ++i) {
      nest.extent[i] = nest.extent[i + 1];
      for (auto& stride : nest.stride) stride[i] = stride[i + 1];
    }
    --nest.rank;
  }

  bool sums() const {
    for (int axis = 0; axis < nest.rank; ++axis) {
      if (nest.stride[kY][axis] == 0) return true;
    }
    return false;
  }
  /// Call number `index` is the first that writes to its part of y.
  bool begins(int64_t index) const {
    for (int axis = 0; axis < nest.rank; ++axis) {
      const int64_t position = index % nest.extent[axis];
      index /= nest.extent[axis];
      if (nest.stride[kY][axis] == 0 && position != 0) return false;
    }
    return true;
  }
};

/// False if the toolkit cannot do the first call; the later ones differ in addresses and `accumulate` only.
bool run(Product product, Tensor& y, const Tensor& a, const Tensor& b, const Tensor& bias, bool accumulate) {
  Gemm& gemm = product.gemm;
  const auto in_size = static_cast<int64_t>(size_of(gemm.in)),
             out_size = static_cast<int64_t>(size_of(gemm.out));
  gemm.bias = bias.defined();
  std::byte* out = y.raw_mut();
  for (int64_t i = 0; i < product.nest.outer(0); ++i) {
    const auto at = product.nest.offsets(i, 0);
    gemm.accumulate = accumulate || !product.begins(i);
    const bool done = lathe::cuda::gemm(gemm, out + at[kY] * out_size, a.raw() + at[kA] * in_size,
                                        b.raw() + at[kB] * in_size, bias.defined() ? bias.raw() : nullptr);
    if (!done && i == 0) return false;
    LATHE_CHECK(CudaError, done, "CUDA: matmul: no algorithm for call ", i, " of ", a.shape(), " x ",
                b.shape());
  }
  return true;
}

}  // namespace

void matmul(Tensor& y, const Tensor& a, const Tensor& b, const Tensor& bias, const MatmulFlags& flags) {
  LATHE_CHECK(DTypeError, is_floating(y.dtype()), "matmul: needs f32, f64 or bf16, got ", y.dtype());
  if (y.numel() == 0) return;
  Product product(y, a, b, flags);
  if (product.count == 0 || product.gemm.k == 0) return begin_with(y, bias);
  product.fold();
  product.batch();
  if (product.sums() && y.dtype() == DType::BF16) {  // added in f32, rounded once
    Tensor sum = Tensor::empty(y.shape(), DType::F32, y.device());
    product.gemm.out = DType::F32;
    LATHE_ASSERT(!bias.defined());
    LATHE_CHECK(CudaError, run(product, sum, a, b, Tensor(), false), "CUDA: matmul: no algorithm for bf16 ",
                a.shape(), " x ", b.shape());
    return cast(y, sum);
  }
  LATHE_ASSERT(!bias.defined() || !product.sums());
  if (bias.defined() && run(product, y, a, b, bias, false)) return;
  if (bias.defined()) begin_with(y, bias);
  LATHE_CHECK(CudaError, run(product, y, a, b, Tensor(), bias.defined()), "CUDA: matmul: no algorithm for ",
              y.dtype(), " ", a.shape(), " x ", b.shape());
}

}  // namespace lathe::kernels::cuda
