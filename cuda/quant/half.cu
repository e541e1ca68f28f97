#include "cuda/map.cuh"
#include "quant/kernels.h"
#include "quant/math/half.h"

namespace lathe::kernels::cuda {
namespace {

struct RoundToHalf {
  template <class T>
  __device__ T operator()(int64_t, T x) const {
    return quant::half_round_ste(x);
  }
};

}  // namespace

void round_to_half(Tensor& y, const Tensor& x) {
  dispatch_floating(x.dtype(), "round_to_half",
                    [&]<class T>() { lathe::cuda::map(x.numel(), RoundToHalf{}, y.mut<T>(), x.ptr<T>()); });
}

}  // namespace lathe::kernels::cuda
