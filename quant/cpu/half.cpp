#include "quant/math/half.h"

#include "quant/cpu/groups.h"
#include "quant/kernels.h"

namespace lathe::kernels::cpu {

void round_to_half(Tensor& y, const Tensor& x) {
  dispatch_floating(x.dtype(), "round_to_half", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = y.mut<T>();
    parallel_for(x.numel(), quant::kPiece, [&](int64_t lo, int64_t hi) {
      for (int64_t i = lo; i < hi; ++i) out[i] = quant::half_round_ste(in[i]);
    });
  });
}

}  // namespace lathe::kernels::cpu
