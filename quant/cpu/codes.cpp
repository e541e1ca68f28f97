// Codes as numbers.

#include "quant/cpu/groups.h"
#include "quant/kernels.h"
#include "quant/math/absmax.h"
#include "quant/math/codeq.h"
#include "quant/math/dq.h"
#include "quant/math/lsq.h"
#include "quant/math/minmax.h"

namespace lathe::kernels::cpu {
namespace {

using quant::Groups;
using quant::PerGroup;

/// q[i] = fn(w[i], group)
template <class T, class Fn>
void map_elements(Tensor& q, const Tensor& w, int64_t group, const Fn& fn) {
  const T* in = w.ptr<T>();
  T* out = q.mut<T>();
  quant::for_each_piece(Groups(w.numel(), group), [&](int64_t g, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) out[i] = fn(in[i], g);
  });
}

}  // namespace

void minmax_codes(Tensor& q, const Tensor& w, const Tensor& lo, const Tensor& hi, const Tensor& bits,
                  int64_t group) {
  dispatch_floating(w.dtype(), "minmax_codes", [&]<class T>() {
    const PerGroup<T> least(lo), most(hi);
    const PerGroup<uint8_t> width(bits);
    map_elements<T>(q, w, group, [&](T x, int64_t g) {
      return quant::minmax_code(x, static_cast<T>((1 << width[g]) - 1), most[g] - least[g], least[g]);
    });
  });
}

void absmax_codes(Tensor& q, const Tensor& w, const Tensor& scale, double most, int64_t group) {
  dispatch_floating(w.dtype(), "absmax_codes", [&]<class T>() {
    const PerGroup<T> scales(scale);
    map_elements<T>(q, w, group,
                    [&](T x, int64_t g) { return quant::absmax_code(x, scales[g], static_cast<T>(most)); });
  });
}

void lsq_codes(Tensor& q, const Tensor& x, const Tensor& step, const LsqGrid& grid) {
  dispatch_floating(x.dtype(), "lsq_codes", [&]<class T>() {
    const PerGroup<T> steps(step);
    map_elements<T>(q, x, grid.group, [&](T value, int64_t g) {
      return quant::lsq_code(value, steps[g], T(0), static_cast<T>(grid.lo), static_cast<T>(grid.hi));
    });
  });
}

void codeq_codes(Tensor& q, const Tensor& w, const Tensor& grid) {
  dispatch_floating(w.dtype(), "codeq_codes", [&]<class T>() {
    const T* g = grid.ptr<T>();
    const quant::CodeqGrid<T> of{g[0], g[1], g[2], g[3], g[4]};
    map_elements<T>(q, w, 0, [&](T x, int64_t) { return quant::codeq_code(x, of); });
  });
}

void dq_codes(Tensor& q, const Tensor& x, const Tensor& step, const Tensor& range, const DqShape& shape) {
  dispatch_floating(x.dtype(), "dq_codes", [&]<class T>() {
    const T r = range.ptr<T>()[0], raw = step.ptr<T>()[0], lo = shape.is_signed ? -r : T(0);
    const T unit = shape.power_of_two ? quant::dq_power_step(raw) : raw;
    map_elements<T>(q, x, 0, [&](T value, int64_t) {
      return shape.power_of_two ? quant::dq_code(value, unit, lo, r)
                                : quant::dq_u3_whole_code(value, unit, r);
    });
  });
}

}  // namespace lathe::kernels::cpu
