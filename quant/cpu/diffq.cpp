// Pseudo quantization noise.

#include "quant/math/diffq.h"

#include <cmath>
#include <numbers>

#include "quant/cpu/groups.h"
#include "quant/kernels.h"

namespace lathe::kernels::cpu {
namespace {

using quant::Groups;
using quant::PerGroup;

/// Element i's noise; two words make a normal (Box and Muller 1958).
template <class T>
class Noise {
 public:
  explicit Noise(const NoiseSource& source)
      : source_(source), given_(source.given.defined() ? source.given.ptr<T>() : nullptr) {}

  T operator[](int64_t i) const {
    if (given_ != nullptr) return given_[i];
    if (!source_.gaussian) return static_cast<T>(source_.philox.uniform(static_cast<uint64_t>(i))) - T(0.5);
    const Philox::Block block = source_.philox.block(static_cast<uint64_t>(i) >> 1);
    const int first = i % 2 == 0 ? 0 : 2;
    const double u = 1.0 - static_cast<double>(Philox::to_uniform(block.word[first]));  // (0, 1]
    const double angle =
        2 * std::numbers::pi * static_cast<double>(Philox::to_uniform(block.word[first + 1]));
    return static_cast<T>(0.5 * std::sqrt(-2 * std::log(u)) * std::cos(angle));
  }

 private:
  const NoiseSource& source_;
  const T* given_;
};

}  // namespace

void diffq_widths(Tensor& bits, Tensor& unit, Tensor& dbits, Tensor& dunit, const Tensor& logits,
                  const DiffqWidths& widths) {
  dispatch_floating(logits.dtype(), "diffq_widths", [&]<class T>() {
    const T* l = logits.ptr<T>();
    T *b = bits.mut<T>(), *u = unit.mut<T>(), *db = dbits.mut<T>(), *du = dunit.mut<T>();
    const T least = static_cast<T>(widths.min_bits), most = static_cast<T>(widths.max_bits);
    parallel_for(logits.numel(), quant::kPiece, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const auto width = widths.noise_parameter ? quant::diffq_width_of_noise(l[i], least, most)
                                                  : quant::diffq_width_of_bits(l[i], least, most);
        b[i] = width.bits;
        u[i] = width.unit;
        db[i] = width.dbits;
        du[i] = width.dunit;
      }
    });
  });
}

void add_noise(Tensor& y, const Tensor& w, const Tensor& lo, const Tensor& hi, const Tensor& unit,
               const NoiseSource& source, int64_t group) {
  dispatch_floating(w.dtype(), "add_noise", [&]<class T>() {
    const T* in = w.ptr<T>();
    T* out = y.mut<T>();
    const T range = hi.ptr<T>()[0] - lo.ptr<T>()[0];
    const PerGroup<T> units(unit);
    const Noise<T> noise(source);
    quant::for_each_piece(Groups(w.numel(), group), [&](int64_t g, int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) out[i] = quant::diffq_noisy(in[i], range, units[g], noise[i]);
    });
  });
}

void add_noise_backward(Tensor& dw, Tensor& dunit, const Tensor& dy, const Tensor& w, const Tensor& lo,
                        const Tensor& hi, const Tensor& unit, const NoiseSource& source, int64_t group) {
  const Groups groups(w.numel(), group);
  dispatch_floating(w.dtype(), "add_noise_backward", [&]<class T>() {
    const T* in = w.ptr<T>();
    const T* grad = dy.ptr<T>();
    const T least = lo.ptr<T>()[0], most = hi.ptr<T>()[0], range = most - least;
    const PerGroup<T> units(unit);
    const Noise<T> noise(source);
    double drange = 0, at_least = 0, at_most = 0, shared = 0;
    quant::sum_groups<3>(
        groups,
        [&](int64_t, int64_t first, int64_t last) {
          std::array<double, 3> sums{};
          for (int64_t i = first; i < last; ++i) {
            sums[0] += static_cast<double>(grad[i]) * static_cast<double>(noise[i]);
            sums[1] += in[i] == least ? 1 : 0;
            sums[2] += in[i] == most ? 1 : 0;
          }
          return sums;
        },
        [&](int64_t g, const std::array<double, 3>& sums) {
          drange += sums[0] * static_cast<double>(units[g]);
          at_least += sums[1];
          at_most += sums[2];
          shared += sums[0];
          if (!dunit.defined()) return;
          const bool one = dunit.numel() == 1;
          dunit.mut<T>()[one ? 0 : g] = static_cast<T>(static_cast<double>(range) * (one ? shared : sums[0]));
        });
    if (!dw.defined()) return;
    T* out = dw.mut<T>();
    const T up = static_cast<T>(drange / at_most), down = static_cast<T>(drange / at_least);
    quant::for_each_piece(groups, [&](int64_t, int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        out[i] = grad[i] + (in[i] == most ? up : T(0)) - (in[i] == least ? down : T(0));
      }
    });
  });
}

}  // namespace lathe::kernels::cpu
