#include "cuda/quant/groups.cuh"
#include "quant/kernels.h"
#include "quant/math/lsq.h"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

template <class T>
struct Grids {
  PerGroup<T> step, offset;
  T lo, hi;
  Grids(const Tensor& steps, const Tensor& offsets, const LsqGrid& grid)
      : step(steps),
        offset(PerGroup<T>::or_zero(offsets)),
        lo(static_cast<T>(grid.lo)),
        hi(static_cast<T>(grid.hi)) {}
  struct Shared {
    T step, offset;
  };
  __device__ Shared group(int64_t g) const { return {step[g], offset[g]}; }
};

template <class T>
struct Quantize : Grids<T> {
  using Grids<T>::Grids;
  using typename Grids<T>::Shared;
  __device__ T value(const Shared& s, int64_t, T x, T) const {
    return quant::lsq_value(x, s.step, s.offset, this->lo, this->hi);
  }
};

/// Where a parameter's gradient goes: its group's element, or what all groups add to.
template <class T>
struct GradientPlace {
  T* of_group = nullptr;
  double* to_add = nullptr;  ///< one per group
  double scale = 1;
  __device__ void put(int64_t g, double sum) const {
    if (of_group != nullptr) of_group[g] = static_cast<T>(scale * sum);
    if (to_add != nullptr) to_add[g] = sum;
  }
};

template <class T>
struct Gradients : SumFn<2>, Grids<T> {
  using typename Grids<T>::Shared;
  GradientPlace<T> step_place, offset_place;
  Gradients(const Grids<T>& grids, const GradientPlace<T>& of_step, const GradientPlace<T>& of_offset)
      : Grids<T>(grids), step_place(of_step), offset_place(of_offset) {}
  __device__ T element(const Shared& s, int64_t, T x, T dy, double (&v)[2]) const {
    const auto d = quant::lsq_gradients(x, s.step, s.offset, this->lo, this->hi);
    v[0] += static_cast<double>(dy) * static_cast<double>(d.step);
    v[1] += static_cast<double>(dy) * static_cast<double>(d.offset);
    return dy * d.x;
  }
  __device__ void finish(int64_t g, const double (&v)[2]) const {
    step_place.put(g, v[0]);
    offset_place.put(g, v[1]);
  }
};

template <class T>
struct AddGroups : SumFn<1> {
  GradientPlace<T> place;
  explicit AddGroups(const GradientPlace<T>& to) : place(to) {}
  __device__ bool group(int64_t) const { return true; }
  __device__ double element(bool, int64_t, double x, double, double (&v)[1]) const {
    v[0] += x;
    return x;
  }
  __device__ void finish(int64_t g, const double (&v)[1]) const { place.put(g, v[0]); }
};

/// A parameter's gradient, whether groups share it or not.
template <class T>
class Destination {
 public:
  Destination(Tensor& to, const GroupSpan& s, double scale) : to_(to), count_(s.count), scale_(scale) {
    shared_ = to.defined() && to.numel() == 1 && s.count > 1;
    if (shared_) sums_ = Tensor::empty({s.count}, DType::F64, current_device());
  }
  GradientPlace<T> place() {
    if (shared_) return {.to_add = sums_.mut<double>()};
    return {.of_group = optional_mut<T>(to_), .scale = scale_};
  }
  void add_up() {
    if (!shared_) return;
    const GradientPlace<T> one{.of_group = to_.mut<T>(), .scale = scale_};
    reduce_groups(GroupSpan(count_, 0), AddGroups<T>(one), static_cast<double*>(nullptr),
                  sums_.ptr<double>());
  }

 private:
  Tensor& to_;
  int64_t count_;
  double scale_;
  bool shared_;
  Tensor sums_;
};

}  // namespace

void lsq_quantize(Tensor& y, const Tensor& x, const Tensor& step, const Tensor& offset, const LsqGrid& grid) {
  dispatch_floating(x.dtype(), "lsq_quantize", [&]<class T>() {
    map_groups(GroupSpan(x.numel(), grid.group), Quantize<T>(step, offset, grid), y.mut<T>(), x.ptr<T>());
  });
}

void lsq_backward(Tensor& dx, Tensor& dstep, Tensor& doffset, const Tensor& dy, const Tensor& x,
                  const Tensor& step, const Tensor& offset, const LsqGrid& grid) {
  // What all groups share needs no groups.
  const bool one = step.numel() == 1 && (!offset.defined() || offset.numel() == 1);
  const GroupSpan s(x.numel(), one ? 0 : grid.group);
  dispatch_floating(x.dtype(), "lsq_backward", [&]<class T>() {
    Destination<T> of_step(dstep, s, grid.gradient_scale), of_offset(doffset, s, grid.gradient_scale);
    reduce_groups(s, Gradients<T>(Grids<T>(step, offset, grid), of_step.place(), of_offset.place()),
                  optional_mut<T>(dx), x.ptr<T>(), dy.ptr<T>());
    of_step.add_up();
    of_offset.add_up();
  });
}

}  // namespace lathe::kernels::cuda
