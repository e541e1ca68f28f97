#include "quant/math/lsq.h"

#include "core/cpu/by_type.h"
#include "quant/cpu/groups.h"
#include "quant/cpu/isa_quant.h"
#include "quant/kernels.h"

namespace lathe::kernels::cpu {
namespace {

namespace isa = lathe::cpu;
using quant::Groups;
using quant::PerGroup;

const Tensor& or_zero(const Tensor& offset, const Tensor& zero) {
  return offset.defined() ? offset : zero;
}

}  // namespace

void lsq_quantize(Tensor& y, const Tensor& x, const Tensor& step, const Tensor& offset, const LsqGrid& grid) {
  const Tensor zero = Tensor::zeros({1}, x.dtype());
  dispatch_floating(x.dtype(), "lsq_quantize", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = y.mut<T>();
    const PerGroup<T> steps(step), offsets(or_zero(offset, zero));
    const T lo = static_cast<T>(grid.lo), hi = static_cast<T>(grid.hi);
    quant::for_each_piece(Groups(x.numel(), grid.group), [&](int64_t g, int64_t first, int64_t last) {
      isa::by_type<T>(isa::lsq_f32, isa::lsq_f64)(out + first, in + first, last - first,
                                                  {steps[g], offsets[g], lo, hi});
    });
  });
}

void lsq_backward(Tensor& dx, Tensor& dstep, Tensor& doffset, const Tensor& dy, const Tensor& x,
                  const Tensor& step, const Tensor& offset, const LsqGrid& grid) {
  const Tensor zero = Tensor::zeros({1}, x.dtype());
  dispatch_floating(x.dtype(), "lsq_backward", [&]<class T>() {
    const T* in = x.ptr<T>();
    const T* grad = dy.ptr<T>();
    T* out = dx.defined() ? dx.mut<T>() : nullptr;
    const PerGroup<T> steps(step), offsets(or_zero(offset, zero));
    const T lo = static_cast<T>(grid.lo), hi = static_cast<T>(grid.hi);
    const auto piece = [&](int64_t g, int64_t first, int64_t last) {
      std::array<double, 2> sums{};
      isa::by_type<T>(isa::lsq_backward_f32, isa::lsq_backward_f64)(
          sums.data(), out != nullptr ? out + first : nullptr, grad + first, in + first, last - first,
          {steps[g], offsets[g], lo, hi}, doffset.defined());
      return sums;
    };
    // Parameters that all groups share collect every group's sum.
    double shared_step = 0, shared_offset = 0;
    const auto put = [&](Tensor& to, int64_t g, double sum, double& shared) {
      if (!to.defined()) return;
      shared += sum;
      to.mut<T>()[to.numel() == 1 ? 0 : g] =
          static_cast<T>(grid.gradient_scale * (to.numel() == 1 ? shared : sum));
    };
    quant::sum_groups<2>(Groups(x.numel(), grid.group), piece,
                         [&](int64_t g, const std::array<double, 2>& sums) {
                           put(dstep, g, sums[0], shared_step);
                           put(doffset, g, sums[1], shared_offset);
                         });
  });
}

}  // namespace lathe::kernels::cpu
