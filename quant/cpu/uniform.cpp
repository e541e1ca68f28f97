// Ranges, minmax and absmax.

#include <cmath>
#include <limits>

#include "core/cpu/by_type.h"
#include "quant/cpu/groups.h"
#include "quant/cpu/isa_quant.h"
#include "quant/kernels.h"
#include "quant/math/absmax.h"
#include "quant/math/minmax.h"

namespace lathe::kernels::cpu {

namespace isa = lathe::cpu;
using quant::for_each_piece;
using quant::Groups;
using quant::PerGroup;
using quant::sum_groups;

void group_range(Tensor& lo, Tensor& hi, const Tensor& w, int64_t group) {
  const Groups groups(w.numel(), group, quant::kCheapPiece);
  dispatch_floating(w.dtype(), "group_range", [&]<class T>() {
    const T* in = w.ptr<T>();
    T* least = lo.mut<T>();
    T* most = hi.mut<T>();
    const int64_t pieces = groups.pieces;
    Tensor scratch = Tensor::empty({groups.count() * pieces, 2}, w.dtype());
    T* found = scratch.mut<T>();
    for_each_piece(groups, [&](int64_t g, int64_t first, int64_t last) {
      isa::by_type<T>(isa::value_range_f32, isa::value_range_f64)(
          found + 2 * (g * pieces + (first - g * groups.size) / groups.piece), in + first, last - first);
    });
    for (int64_t g = 0; g < groups.count(); ++g) {
      const int64_t size = std::min(groups.size, groups.numel - g * groups.size);
      const T* of_group = found + 2 * g * pieces;
      T a = of_group[0], b = of_group[1];
      for (int64_t p = 1; p < chunk_count(size, groups.piece); ++p) {
        const T c = of_group[2 * p], d = of_group[2 * p + 1];
        a = std::isnan(c) || c < a ? c : a;
        b = std::isnan(d) || d > b ? d : b;
      }
      least[g] = a;
      most[g] = b;
    }
  });
}

void group_mean_magnitude(Tensor& y, const Tensor& w, int64_t group) {
  const Groups groups(w.numel(), group);
  dispatch_floating(w.dtype(), "group_mean_magnitude", [&]<class T>() {
    const T* in = w.ptr<T>();
    T* out = y.mut<T>();
    sum_groups<1>(
        groups,
        [&](int64_t, int64_t first, int64_t last) {
          double sum = 0;
          for (int64_t i = first; i < last; ++i) sum += std::abs(static_cast<double>(in[i]));
          return std::array<double, 1>{sum};
        },
        [&](int64_t g, const std::array<double, 1>& sum) {
          const int64_t size = std::min(groups.size, groups.numel - g * groups.size);
          out[g] = static_cast<T>(sum[0] / static_cast<double>(size));
        });
  });
}

void minmax_quantize(Tensor& y, const Tensor& w, const Tensor& lo, const Tensor& hi, const Tensor& bits,
                     int64_t group) {
  dispatch_floating(w.dtype(), "minmax_quantize", [&]<class T>() {
    const T* in = w.ptr<T>();
    T* out = y.mut<T>();
    const PerGroup<T> least(lo), most(hi);
    const PerGroup<uint8_t> width(bits);
    for_each_piece(Groups(w.numel(), group), [&](int64_t g, int64_t first, int64_t last) {
      const T levels = static_cast<T>((1 << width[g]) - 1), min = least[g], range = most[g] - min;
      isa::by_type<T>(isa::minmax_f32, isa::minmax_f64)(out + first, in + first, last - first, levels, range,
                                                        min);
    });
  });
}

void absmax_scale(Tensor& scale, const Tensor& lo, const Tensor& hi, double most) {
  dispatch_floating(scale.dtype(), "absmax_scale", [&]<class T>() {
    T* out = scale.mut<T>();
    for (int64_t g = 0; g < scale.numel(); ++g)
      out[g] = std::max(hi.ptr<T>()[g], -lo.ptr<T>()[g]) / static_cast<T>(most);
  });
}

void absmax_quantize(Tensor& y, const Tensor& w, const Tensor& scale, double most, int64_t group) {
  dispatch_floating(w.dtype(), "absmax_quantize", [&]<class T>() {
    const T* in = w.ptr<T>();
    T* out = y.mut<T>();
    const PerGroup<T> scales(scale);
    for_each_piece(Groups(w.numel(), group), [&](int64_t g, int64_t first, int64_t last) {
      const T s = scales[g];
      isa::by_type<T>(isa::absmax_f32, isa::absmax_f64)(out + first, in + first, last - first, s,
                                                        static_cast<T>(most));
    });
  });
}

void absmax_backward(Tensor& dw, const Tensor& dy, const Tensor& w, const Tensor& scale, double most,
                     int64_t group) {
  const Groups groups(w.numel(), group);
  dispatch_floating(w.dtype(), "absmax_backward", [&]<class T>() {
    const T* in = w.ptr<T>();
    const T* grad = dy.ptr<T>();
    T* out = dw.mut<T>();
    const PerGroup<T> scales(scale);
    Tensor largest = Tensor::empty({groups.count()}, w.dtype()),
           least = Tensor::empty({groups.count()}, w.dtype());
    group_range(least, largest, w, group);
    Tensor shares = Tensor::empty({groups.count()}, w.dtype());
    T* share = shares.mut<T>();
    const auto magnitude_of = [&](int64_t g) { return std::max(largest.ptr<T>()[g], -least.ptr<T>()[g]); };
    sum_groups<2>(
        groups,
        [&](int64_t g, int64_t first, int64_t last) {
          std::array<double, 2> sums{};  // the scale's gradient, the number of largest elements
          const T s = scales[g], limit = magnitude_of(g);
          for (int64_t i = first; i < last; ++i) {
            sums[0] += static_cast<double>(grad[i]) *
                       static_cast<double>(quant::absmax_dscale(in[i], s, static_cast<T>(most)));
            sums[1] += std::abs(in[i]) == limit ? 1 : 0;
          }
          return sums;
        },
        [&](int64_t g, const std::array<double, 2>& sums) {
          share[g] = static_cast<T>(sums[0] / most / sums[1]);
        });
    for_each_piece(groups, [&](int64_t g, int64_t first, int64_t last) {
      const T limit = magnitude_of(g);
      for (int64_t i = first; i < last; ++i) {
        out[i] = grad[i] + (std::abs(in[i]) == limit ? quant::sign(in[i]) * share[g] : T(0));
      }
    });
  });
}

}  // namespace lathe::kernels::cpu
