#include "core/kernels/linear.h"

#include "core/cpu/by_type.h"
#include "core/cpu/gemm.h"
#include "core/cpu/isa_elementwise.h"
#include "core/kernels/matmul.h"

namespace lathe::kernels::cpu {

using lathe::cpu::by_type;
using lathe::cpu::GemmFusion;
using lathe::cpu::GemmShape;

void linear_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual,
                    bool gelu) {
  const int64_t in = w.dim(1), out = w.dim(0);
  dispatch_floating(y.dtype(), "linear", [&]<class T>() {
    lathe::cpu::gemm<T>(
        y.mut<T>(), x.ptr<T>(), w.ptr<T>(),
        {.m = y.dim(0), .n = out, .k = in, .transpose_b = true, .lda = in, .ldb = in, .ldc = out},
        {.bias = bias.defined() ? bias.ptr<T>() : nullptr,
         .rows = residual.defined() ? residual.ptr<T>() : nullptr,
         .gelu = gelu});
  });
}

void linear_input_gradient(Tensor& dx, Tensor& fx, const Tensor& dy, const Tensor& w, const Tensor& x,
                           bool gelu) {
  const int64_t in = w.dim(1), out = w.dim(0);
  dispatch_floating(dx.dtype(), "linear", [&]<class T>() {
    T *to = dx.mut<T>(), *f = gelu ? fx.mut<T>() : nullptr;
    const T* at = gelu ? x.ptr<T>() : nullptr;
    const auto scale = [&](int64_t row, int64_t rows, int64_t column, int64_t columns) {
      for (int64_t i = row; i < row + rows; ++i) {
        const int64_t first = i * in + column;
        by_type<T>(lathe::cpu::gelu_gradient_f32, lathe::cpu::gelu_gradient_f64)(to + first, f + first,
                                                                                 at + first, columns);
      }
    };
    const FunctionRef<void(int64_t, int64_t, int64_t, int64_t)> done(scale);
    lathe::cpu::gemm<T>(to, dy.ptr<T>(), w.ptr<T>(),
                        {.m = dx.dim(0), .n = in, .k = out, .lda = out, .ldb = in, .ldc = in},
                        {.done = gelu ? &done : nullptr});
  });
}

void linear_weight_gradient(Tensor& dw, Tensor& db, const Tensor& dy, const Tensor& fx) {
  const int64_t in = dw.dim(1), out = dw.dim(0);
  if (in == 0 && db.defined()) return column_sum(db, dy);
  dispatch_floating(dw.dtype(), "linear", [&]<class T>() {
    lathe::cpu::gemm<T>(
        dw.mut<T>(), dy.ptr<T>(), fx.ptr<T>(),
        {.m = out, .n = in, .k = dy.dim(0), .transpose_a = true, .lda = out, .ldb = in, .ldc = in},
        {.sums = db.defined() ? db.mut<T>() : nullptr});
  });
}

}  // namespace lathe::kernels::cpu
