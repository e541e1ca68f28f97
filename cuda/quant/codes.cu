// Codes as numbers.

#include "cuda/quant/groups.cuh"
#include "quant/kernels.h"
#include "quant/math/absmax.h"
#include "quant/math/codeq.h"
#include "quant/math/dq.h"
#include "quant/math/lsq.h"
#include "quant/math/minmax.h"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

template <class T>
struct MinmaxCode {
  PerGroup<T> lo, hi;
  PerGroup<uint8_t> bits;
  struct Shared {
    T levels, range, min;
  };
  __device__ Shared group(int64_t g) const {
    return {static_cast<T>((1 << bits[g]) - 1), hi[g] - lo[g], lo[g]};
  }
  __device__ T value(const Shared& s, int64_t, T w, T) const {
    return quant::minmax_code(w, s.levels, s.range, s.min);
  }
};

template <class T>
struct AbsmaxCode {
  PerGroup<T> scale;
  T most;
  __device__ T group(int64_t g) const { return scale[g]; }
  __device__ T value(T s, int64_t, T w, T) const { return quant::absmax_code(w, s, most); }
};

template <class T>
struct LsqCode {
  PerGroup<T> step;
  T lo, hi;
  __device__ T group(int64_t g) const { return step[g]; }
  __device__ T value(T s, int64_t, T x, T) const { return quant::lsq_code(x, s, T(0), lo, hi); }
};

template <class T>
struct CodeqCode {
  const T* grid;
  __device__ quant::CodeqGrid<T> group(int64_t) const {
    return {grid[0], grid[1], grid[2], grid[3], grid[4]};
  }
  __device__ T value(const quant::CodeqGrid<T>& g, int64_t, T w, T) const { return quant::codeq_code(w, g); }
};

template <class T>
struct DqCode {
  const T *step, *range;
  bool power_of_two, is_signed;
  struct Shared {
    T unit, lo, range;
  };
  __device__ Shared group(int64_t) const {
    return {power_of_two ? quant::dq_power_step(*step) : *step, is_signed ? -*range : T(0), *range};
  }
  __device__ T value(const Shared& s, int64_t, T x, T) const {
    return power_of_two ? quant::dq_code(x, s.unit, s.lo, s.range)
                        : quant::dq_u3_whole_code(x, s.unit, s.range);
  }
};

}  // namespace

void minmax_codes(Tensor& q, const Tensor& w, const Tensor& lo, const Tensor& hi, const Tensor& bits,
                  int64_t group) {
  dispatch_floating(w.dtype(), "minmax_codes", [&]<class T>() {
    const MinmaxCode<T> fn{PerGroup<T>(lo), PerGroup<T>(hi), PerGroup<uint8_t>(bits)};
    map_groups(GroupSpan(w.numel(), group), fn, q.mut<T>(), w.ptr<T>());
  });
}

void absmax_codes(Tensor& q, const Tensor& w, const Tensor& scale, double most, int64_t group) {
  dispatch_floating(w.dtype(), "absmax_codes", [&]<class T>() {
    const AbsmaxCode<T> fn{PerGroup<T>(scale), static_cast<T>(most)};
    map_groups(GroupSpan(w.numel(), group), fn, q.mut<T>(), w.ptr<T>());
  });
}

void lsq_codes(Tensor& q, const Tensor& x, const Tensor& step, const LsqGrid& grid) {
  dispatch_floating(x.dtype(), "lsq_codes", [&]<class T>() {
    const LsqCode<T> fn{PerGroup<T>(step), static_cast<T>(grid.lo), static_cast<T>(grid.hi)};
    map_groups(GroupSpan(x.numel(), grid.group), fn, q.mut<T>(), x.ptr<T>());
  });
}

void codeq_codes(Tensor& q, const Tensor& w, const Tensor& grid) {
  dispatch_floating(w.dtype(), "codeq_codes", [&]<class T>() {
    map_groups(GroupSpan(w.numel(), 0), CodeqCode<T>{grid.ptr<T>()}, q.mut<T>(), w.ptr<T>());
  });
}

void dq_codes(Tensor& q, const Tensor& x, const Tensor& step, const Tensor& range, const DqShape& shape) {
  dispatch_floating(x.dtype(), "dq_codes", [&]<class T>() {
    const DqCode<T> fn{step.ptr<T>(), range.ptr<T>(), shape.power_of_two, shape.is_signed};
    map_groups(GroupSpan(x.numel(), 0), fn, q.mut<T>(), x.ptr<T>());
  });
}

}  // namespace lathe::kernels::cuda
