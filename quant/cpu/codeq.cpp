#include "quant/math/codeq.h"

#include <cmath>

#include "core/cpu/by_type.h"
#include "quant/cpu/groups.h"
#include "quant/cpu/isa_quant.h"
#include "quant/cpu/select.h"
#include "quant/kernels.h"

namespace lathe::kernels::cpu {
namespace {

namespace isa = lathe::cpu;
using quant::CodeqGrid;
using quant::Groups;

template <class T>
CodeqGrid<T> read_grid(const Tensor& grid) {
  const T* g = grid.ptr<T>();
  return {g[0], g[1], g[2], g[3], g[4]};
}

}  // namespace

void magnitude_quantile(Tensor& y, const Tensor& w, const Tensor&, const Tensor&, double q) {
  dispatch_floating(w.dtype(), "magnitude_quantile", [&]<class T>() {
    const double place = q * static_cast<double>(w.numel() - 1);
    const auto below = static_cast<int64_t>(place);
    const auto [first, second] = quant::nth_magnitudes(w.ptr<T>(), w.numel(), below);
    y.mut<T>()[0] = first + static_cast<T>(place - static_cast<double>(below)) * (second - first);
  });
}

void codeq_grid(Tensor& grid, const Tensor& amplitude, const Tensor& dead_zone, const Tensor& bits,
                const CodeqShape& shape) {
  dispatch_floating(grid.dtype(), "codeq_grid", [&]<class T>() {
    const T a = amplitude.ptr<T>()[0];
    const T b = bits.defined() ? quant::codeq_bits(bits.ptr<T>()[0], static_cast<T>(shape.min_bits),
                                                   static_cast<T>(shape.max_bits))
                               : static_cast<T>(shape.fixed_bits);
    const CodeqGrid<T> made =
        quant::codeq_grid(a, quant::codeq_width(a, dead_zone.ptr<T>()[0]), b, static_cast<T>(shape.eps),
                          static_cast<T>(shape.step_floor) * a);
    T* out = grid.mut<T>();
    const T values[] = {made.amplitude, made.width, made.most, made.step, made.shift, b};
    std::copy(std::begin(values), std::end(values), out);
  });
}

void codeq_quantize(Tensor& y, const Tensor& w, const Tensor& grid) {
  dispatch_floating(w.dtype(), "codeq_quantize", [&]<class T>() {
    const T* in = w.ptr<T>();
    T* out = y.mut<T>();
    const CodeqGrid<T> g = read_grid<T>(grid);
    quant::for_each_piece(Groups(w.numel(), 0), [&](int64_t, int64_t first, int64_t last) {
      isa::by_type<T>(isa::codeq_f32, isa::codeq_f64)(out + first, in + first, last - first, g);
    });
  });
}

void codeq_backward(Tensor& dw, Tensor& ddead_zone, Tensor& dbits, const Tensor& dy, const Tensor& w,
                    const Tensor& grid, const Tensor& dead_zone, const Tensor& bits,
                    const CodeqShape& shape) {
  dispatch_floating(w.dtype(), "codeq_backward", [&]<class T>() {
    const T* in = w.ptr<T>();
    const T* grad = dy.ptr<T>();
    T* out = dw.defined() ? dw.mut<T>() : nullptr;
    const CodeqGrid<T> g = read_grid<T>(grid);
    double dstep = 0, dhalf_shift = 0;
    quant::sum_groups<2>(
        Groups(w.numel(), 0),
        [&](int64_t, int64_t first, int64_t last) {
          std::array<double, 2> sums{};
          isa::by_type<T>(isa::codeq_backward_f32, isa::codeq_backward_f64)(
              sums.data(), out != nullptr ? out + first : nullptr, grad + first, in + first, last - first, g,
              shape.zero_weight_grad);
          return sums;
        },
        [&](int64_t, const std::array<double, 2>& sums) {
          dstep = sums[0];
          dhalf_shift = sums[1];
        });
    const double a = static_cast<double>(g.amplitude), width = static_cast<double>(g.width),
                 most = static_cast<double>(g.most), half = most - 0.5;
    if (static_cast<double>(g.step) <= shape.step_floor * a)
      dstep = 0;  // held by the floor, not by width or bits
    if (ddead_zone.defined()) {
      const double logit = static_cast<double>(dead_zone.ptr<T>()[0]), t = std::tanh(logit);
      const double dwidth = dhalf_shift - dstep / (2 * half);
      ddead_zone.mut<T>()[0] = static_cast<T>(dwidth * -2 * a * quant::sign(logit) * (1 - t * t));
    }
    if (dbits.defined()) {
      const double logit = static_cast<double>(bits.ptr<T>()[0]), t = std::tanh(logit);
      const double dmost = -dstep * (a - width / 2) / (half * half);
      const double slope = (shape.max_bits - shape.min_bits) * quant::sign(logit) * (1 - t * t);
      dbits.mut<T>()[0] = static_cast<T>(dmost * quant::kLn2 * (most + 1) * slope);
    }
  });
}

}  // namespace lathe::kernels::cpu
