// Pseudo quantization noise.

#include <cmath>
#include <vector>

#include "core/cpu/by_type.h"
#include "core/cpu/isa_reduce.h"
#include "quant/cpu/groups.h"
#include "quant/cpu/isa_quant.h"
#include "quant/kernels.h"
#include "quant/math/noise.h"

namespace lathe::kernels::cpu {
namespace {

namespace isa = lathe::cpu;
using quant::Groups;
using quant::PerGroup;

constexpr int64_t kNoise = 512;  // made at a time

/// fn(lo, hi, noise): the elements [lo, hi) in pieces with their noise, from lo on.
template <class T, class Fn>
void with_noise(const NoiseSource& source, int64_t lo, int64_t hi, const Fn& fn) {
  if (source.given.defined()) return fn(lo, hi, source.given.ptr<T>() + lo);
  constexpr int64_t kRow = quant::kNoiseRow;
  alignas(64) float drawn[kNoise];
  while (lo < hi) {
    const int64_t begin = lo / kRow * kRow, end = std::min(hi, begin + kNoise);
    isa::noise_rows(drawn, source.philox, source.gaussian, static_cast<uint64_t>(begin / kRow),
                    chunk_count(end - begin, kRow));
    if constexpr (std::is_same_v<T, float>) {
      fn(lo, end, drawn + (lo - begin));
    } else {
      const std::array<T, kNoise> wide = [&] {
        std::array<T, kNoise> out{};
        std::copy(drawn, drawn + (end - begin), out.begin());
        return out;
      }();
      fn(lo, end, wide.data() + (lo - begin));
    }
    lo = end;
  }
}

/// Pieces of about kNoisePiece elements: some whole groups, or a part of one large group.
struct Pieces {
  Groups groups;
  int64_t of_group;  ///< pieces of a group, 1 for whole groups
  int64_t grain;     ///< elements
  explicit Pieces(const Groups& of)
      : groups(of),
        of_group(of.pieces),
        grain(of_group > 1 ? of.piece : std::max<int64_t>(1, of.piece / of.size) * of.size) {}
  int64_t count() const {
    return of_group > 1 ? groups.count() * of_group : chunk_count(groups.numel, grain);
  }
  /// fn(piece, group, lo, hi): `group` is the first.
  template <class Fn>
  void each(const Fn& fn) const {
    parallel_for(count(), 1, [&](int64_t piece, int64_t) {
      const int64_t group = of_group > 1 ? piece / of_group : piece * (grain / groups.size);
      const int64_t begin = group * groups.size, lo = begin + (of_group > 1 ? piece % of_group * grain : 0),
                    end = of_group > 1 ? std::min(begin + groups.size, lo + grain) : lo + grain;
      if (lo < std::min(end, groups.numel)) fn(piece, group, lo, std::min(end, groups.numel));
    });
  }
};

void widths_of(Tensor& y, Tensor& derivative, const Tensor& logits, const DiffqWidths& widths, bool units) {
  dispatch_floating(logits.dtype(), "diffq_widths", [&]<class T>() {
    const T* in = logits.ptr<T>();
    T *out = y.mut<T>(), *slope = derivative.mut<T>();
    const T least = static_cast<T>(widths.min_bits), most = static_cast<T>(widths.max_bits);
    parallel_for(logits.numel(), quant::kPiece, [&](int64_t lo, int64_t hi) {
      isa::by_type<T>(isa::diffq_widths_f32, isa::diffq_widths_f64)(
          out + lo, slope + lo, in + lo, hi - lo, least, most, {units, widths.noise_parameter});
    });
  });
}

/// Elements of the last group.
int64_t last_size(const Groups& groups) {
  return groups.numel - (groups.count() - 1) * groups.size;
}

}  // namespace

void diffq_bits(Tensor& bits, Tensor& dbits, const Tensor& logits, const DiffqWidths& widths) {
  widths_of(bits, dbits, logits, widths, false);
}
void diffq_unit(Tensor& unit, Tensor& dunit, const Tensor& logits, const DiffqWidths& widths) {
  widths_of(unit, dunit, logits, widths, true);
}

void diffq_size(Tensor& y, const Tensor& bits, const DiffqSize& size) {
  const Groups groups(size.numel, size.group);
  const auto count = static_cast<double>(groups.count());
  dispatch_floating(bits.dtype(), "diffq_size", [&]<class T>() {
    const T* in = bits.ptr<T>();
    const double sum = isa::by_type<T>(isa::sum_f32, isa::sum_f64)(in, groups.count());
    T range[2];
    isa::by_type<T>(isa::value_range_f32, isa::value_range_f64)(range, in, groups.count());
    const double missing =
        static_cast<double>(groups.size - last_size(groups)) * static_cast<double>(in[groups.count() - 1]);
    const double to_tell = std::ceil(std::log2(1 + std::rint(static_cast<double>(range[1])) - size.min_bits));
    y.mut<T>()[0] =
        static_cast<T>(sum * static_cast<double>(groups.size) - missing + to_tell * count + size.constant);
  });
}

void diffq_size_backward(Tensor& dbits, const Tensor& dy, int64_t numel, int64_t group) {
  const Groups groups(numel, group);
  dispatch_floating(dbits.dtype(), "diffq_size_backward", [&]<class T>() {
    const T gradient = dy.ptr<T>()[0];
    T* out = dbits.mut<T>();
    std::fill(out, out + groups.count(), gradient * static_cast<T>(groups.size));
    out[groups.count() - 1] = gradient * static_cast<T>(last_size(groups));
  });
}

void add_noise(Tensor& y, const Tensor& w, const Tensor& lo, const Tensor& hi, const Tensor& unit,
               const NoiseSource& source, int64_t group) {
  const Groups groups(w.numel(), group, quant::kNoisePiece);
  dispatch_floating(w.dtype(), "add_noise", [&]<class T>() {
    const T* in = w.ptr<T>();
    T* out = y.mut<T>();
    const T range = hi.ptr<T>()[0] - lo.ptr<T>()[0];
    const PerGroup<T> units(unit);
    Pieces(groups).each([&](int64_t, int64_t, int64_t begin, int64_t end) {
      with_noise<T>(source, begin, end, [&](int64_t first, int64_t last, const T* noise) {
        const int64_t g = first / groups.size;
        isa::by_type<T>(isa::add_noise_f32, isa::add_noise_f64)(
            out + first, in + first, noise, {first - g * groups.size, last - first, groups.size}, range,
            units.values + g * units.step, units.step);
      });
    });
  });
}

namespace {

/// What the backward pass sums up over a piece.
struct NoiseSums {
  double weighted = 0, plain = 0;  // dy noise, times the unit and alone
  int64_t ends[2] = {0, 0};        // elements at the least and at the most
};

/// Of a piece that begins in group `group`; `dunit`, null or of one element per group, gets those of whole
/// groups.
template <class T>
NoiseSums sum_piece(const T* grad, const NoiseSource& source, const Pieces& pieces, const PerGroup<T>& units,
                    T range, T* dunit, int64_t group, int64_t begin, int64_t end) {
  const int64_t size = pieces.groups.size;
  std::vector<double> sums(static_cast<size_t>((end - 1) / size - group + 1));
  with_noise<T>(source, begin, end, [&](int64_t first, int64_t last, const T* noise) {
    const int64_t g = first / size;
    isa::by_type<T>(isa::noise_products_f32, isa::noise_products_f64)(
        sums.data() + (g - group), grad + first, noise, {first - g * size, last - first, size});
  });
  NoiseSums total;
  for (size_t k = 0; k < sums.size(); ++k) {
    const int64_t g = group + static_cast<int64_t>(k);
    total.weighted += sums[k] * static_cast<double>(units[g]);
    total.plain += sums[k];
    if (dunit != nullptr && pieces.of_group == 1)
      dunit[g] = static_cast<T>(static_cast<double>(range) * sums[k]);
  }
  return total;
}

/// dunit of groups that have several pieces, or of one unit for all.
template <class T>
void add_up(Tensor& dunit, T range, const std::vector<NoiseSums>& found, size_t pieces_of_one) {
  T* out = dunit.mut<T>();
  for (size_t g = 0; g * pieces_of_one < found.size(); ++g) {
    double sum = 0;
    for (size_t p = g * pieces_of_one; p < (g + 1) * pieces_of_one; ++p) sum += found[p].plain;
    out[g] = static_cast<T>(static_cast<double>(range) * sum);
  }
}

}  // namespace

void add_noise_backward(Tensor& dw, Tensor& dunit, const Tensor& dy, const Tensor& w, const Tensor& lo,
                        const Tensor& hi, const Tensor& unit, const NoiseSource& source, int64_t group) {
  dispatch_floating(w.dtype(), "add_noise_backward", [&]<class T>() {
    const T *in = w.ptr<T>(), *grad = dy.ptr<T>();
    const T least = lo.ptr<T>()[0], most = hi.ptr<T>()[0], range = most - least;
    const PerGroup<T> units(unit);
    const Pieces pieces(Groups(w.numel(), group, quant::kNoisePiece));
    std::vector<NoiseSums> found(static_cast<size_t>(pieces.count()));
    T* dunits = dunit.defined() && units.step == 1 ? dunit.mut<T>() : nullptr;
    pieces.each([&](int64_t piece, int64_t first_group, int64_t begin, int64_t end) {
      NoiseSums& of_piece = found[static_cast<size_t>(piece)];
      of_piece = sum_piece(grad, source, pieces, units, range, dunits, first_group, begin, end);
      isa::by_type<T>(isa::count_ends_f32, isa::count_ends_f64)(of_piece.ends, in + begin, end - begin, least,
                                                                most);
    });
    if (dunit.defined() && units.step == 0) {
      add_up(dunit, range, found, found.size());
    } else if (dunit.defined() && pieces.of_group > 1) {
      add_up(dunit, range, found, static_cast<size_t>(pieces.of_group));
    }
    if (!dw.defined()) return;
    NoiseSums all;
    for (const NoiseSums& one : found) {
      all.weighted += one.weighted;
      for (int end : {0, 1}) all.ends[end] += one.ends[end];
    }
    T* out = dw.mut<T>();
    const T down = static_cast<T>(all.weighted / static_cast<double>(all.ends[0])),
            up = static_cast<T>(all.weighted / static_cast<double>(all.ends[1]));
    parallel_for(w.numel(), quant::kPiece, [&](int64_t first, int64_t last) {
      isa::by_type<T>(isa::add_ends_f32, isa::add_ends_f64)(out + first, grad + first, in + first,
                                                            last - first, least, most, down, up);
    });
  });
}

}  // namespace lathe::kernels::cpu
