// Pseudo quantization noise.

#include "cuda/quant/groups.cuh"
#include "cuda/step.h"
#include "quant/kernels.h"
#include "quant/math/diffq.h"
#include "quant/math/noise.h"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;
using quant::kNoiseBlocks;
using quant::kNoiseRow;

/// Noise of elements, four at a time: those of column b of a row, b + 16 k, share a block of Philox
/// (quant/math/noise.h), so that 16 threads make a row.
template <class T>
struct Noise {
  StepPhilox philox;
  bool gaussian;
  const T* given;
  int64_t numel;
  Noise(const NoiseSource& source, int64_t n)
      : philox(step_philox(source.philox)),
        gaussian(source.gaussian),
        given(optional_ptr<T>(source.given)),
        numel(n) {}

  __device__ void column(int64_t row, int b, T (&z)[kQuad]) const {
    if (given != nullptr) {
      for (int k = 0; k < kQuad; ++k) {
        const int64_t i = row * kNoiseRow + b + k * kNoiseBlocks;
        z[k] = i < numel ? given[i] : T(0);
      }
      return;
    }
    const Philox::Block words = philox.get().block(static_cast<uint64_t>(row * kNoiseBlocks + b));
    float drawn[kQuad];
    if (gaussian) {
      quant::diffq_normals(words.word[0], words.word[1], drawn[0], drawn[1]);
      quant::diffq_normals(words.word[2], words.word[3], drawn[2], drawn[3]);
    } else {
      for (int k = 0; k < kQuad; ++k) drawn[k] = quant::diffq_uniform(words.word[k]) - 0.5f;
    }
    for (int k = 0; k < kQuad; ++k) z[k] = static_cast<T>(drawn[k]);
  }
};

template <class T>
__global__ void add_noise_rows(GroupSpan s, Noise<T> noise, T* y, const T* w, const T* lo, const T* hi,
                               PerGroup<T> unit) {
  const T range = *hi - *lo;
  const int64_t columns = (s.numel + kNoiseRow - 1) / kNoiseRow * kNoiseBlocks;
  for (int64_t t = thread_index(); t < columns; t += thread_count()) {
    const int64_t row = t / kNoiseBlocks;
    const int b = static_cast<int>(t % kNoiseBlocks);
    T z[kQuad];
    noise.column(row, b, z);
    for (int k = 0; k < kQuad; ++k) {
      const int64_t i = row * kNoiseRow + b + k * kNoiseBlocks;
      if (i < s.numel) y[i] = quant::diffq_noisy(w[i], range, unit[unit.step == 0 ? 0 : s.group_of(i)], z[k]);
    }
  }
}

/// dy noise, times the unit and alone; elements at the least and at the most.
struct NoiseSums : SumFn<4> {
  static constexpr int kWeighted = 0, kPlain = 1, kLeast = 2, kMost = 3;
};

template <class T>
struct NoiseInputs {
  Noise<T> noise;
  const T *dy, *w, *lo, *hi;
  PerGroup<T> unit;
  T* dunit;  ///< one per group, or null
  NoiseInputs(const Noise<T>& source, const Tensor& grad, const Tensor& values, const Tensor& least,
              const Tensor& most, const Tensor& units, T* to)
      : noise(source),
        dy(grad.ptr<T>()),
        w(values.ptr<T>()),
        lo(least.ptr<T>()),
        hi(most.ptr<T>()),
        unit(units),
        dunit(to) {}
  __device__ void put(int64_t g, double sum) const {
    if (dunit != nullptr) dunit[g] = static_cast<T>(static_cast<double>(*hi - *lo) * sum);
  }
};

/// fn(i, dy noise) for the elements [begin, end), shared out among a block's threads; counts ends.
template <class T, class Fn>
__device__ __forceinline__ void for_each_product(const NoiseInputs<T>& in, int64_t begin, int64_t end,
                                                 Partial<NoiseSums>& sums, const Fn& fn) {
  const int64_t first_row = begin / kNoiseRow, rows = (end - 1) / kNoiseRow - first_row + 1;
  const T least = *in.lo, most = *in.hi;
  for (int64_t t = threadIdx.x; t < rows * kNoiseBlocks; t += blockDim.x) {
    const int64_t row = first_row + t / kNoiseBlocks;
    const int b = static_cast<int>(t % kNoiseBlocks);
    T z[kQuad];
    in.noise.column(row, b, z);
    for (int k = 0; k < kQuad; ++k) {
      const int64_t i = row * kNoiseRow + b + k * kNoiseBlocks;
      if (i < begin || i >= end) continue;
      fn(i, static_cast<double>(in.dy[i]) * static_cast<double>(z[k]));
      sums.v[NoiseSums::kLeast] += in.w[i] == least ? 1 : 0;
      sums.v[NoiseSums::kMost] += in.w[i] == most ? 1 : 0;
    }
  }
}

constexpr int64_t kSpan = 2048;  // elements of a block of whole groups: 16 KiB of products in shared memory
constexpr int64_t kMostInSpan = 512;

/// A block for so many whole groups as kSpan elements hold; `lanes` threads add up a group's products.
template <class T>
__global__ void sum_whole_groups(GroupSpan s, int64_t groups, int lanes, NoiseInputs<T> in,
                                 Partial<NoiseSums>* partial) {
  __shared__ double products[kSpan];
  const int64_t first = blockIdx.x * groups;
  const int64_t count = first + groups < s.count ? groups : s.count - first;
  const int64_t begin = s.begin(first);
  auto sums = Partial<NoiseSums>::none();
  for_each_product(in, begin, s.end(first + count - 1), sums,
                   [&](int64_t i, double product) { products[i - begin] = product; });
  __syncthreads();
  const int in_warp = threadIdx.x % kWarp, lane = in_warp % lanes;
  for (int64_t k = (static_cast<int>(threadIdx.x) - in_warp) / lanes; k < count; k += blockDim.x / lanes) {
    const int64_t own = k + in_warp / lanes, g = first + own;
    double sum = 0;
    if (own < count) {
      for (int64_t i = s.begin(g) - begin + lane; i < s.end(g) - begin; i += lanes) sum += products[i];
    }
    for (int offset = lanes / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, offset);
    if (lane != 0 || own >= count) continue;
    in.put(g, sum);
    sums.v[NoiseSums::kWeighted] += sum * static_cast<double>(in.unit[g]);
  }
  sums.join_block();
  if (threadIdx.x == 0) partial[blockIdx.x] = sums;
}

/// A block for each piece of each group.
template <class T>
__global__ void __launch_bounds__(1024) sum_group_pieces(GroupSpan s, int64_t pieces, int64_t length,
                                                         NoiseInputs<T> in, Partial<NoiseSums>* partial) {
  const int64_t g = blockIdx.x / pieces, begin = s.begin(g) + blockIdx.x % pieces * length;
  const int64_t end = begin + length < s.end(g) ? begin + length : s.end(g);
  auto sums = Partial<NoiseSums>::none();
  if (begin < end) {
    for_each_product(in, begin, end, sums,
                     [&](int64_t, double product) { sums.v[NoiseSums::kPlain] += product; });
  }
  sums.join_block();
  if (threadIdx.x != 0) return;
  sums.v[NoiseSums::kWeighted] = sums.v[NoiseSums::kPlain] * static_cast<double>(in.unit[g]);
  partial[blockIdx.x] = sums;
  if (pieces == 1) in.put(g, sums.v[NoiseSums::kPlain]);
}

__device__ Partial<NoiseSums> total_of(const Partial<NoiseSums>* partial, int64_t n) {
  auto sums = Partial<NoiseSums>::none();
  for (int64_t p = threadIdx.x; p < n; p += blockDim.x) sums.join(partial[p]);
  sums.join_block();
  return sums;
}

/// A block for each group.
template <class T>
__global__ void join_noise_pieces(int64_t pieces, NoiseInputs<T> in, const Partial<NoiseSums>* partial) {
  const auto sums = total_of(partial + blockIdx.x * pieces, pieces);
  if (threadIdx.x == 0) in.put(blockIdx.x, sums.v[NoiseSums::kPlain]);
}

__global__ void join_partials(Partial<NoiseSums>* out, const Partial<NoiseSums>* partial, int64_t n) {
  const auto sums = total_of(partial, n);
  if (threadIdx.x == 0) *out = sums;
}

/// Every block adds up the partial sums, few, on its own.
template <bool kWide, class T>
__global__ void gradients_through_range(int64_t numel, T* dw, const T* dy, const T* w, const T* lo,
                                        const T* hi, const Partial<NoiseSums>* partial, int64_t n) {
  const auto all = total_of(partial, n);
  const T down = static_cast<T>(all.v[NoiseSums::kWeighted] / all.v[NoiseSums::kLeast]),
          up = static_cast<T>(all.v[NoiseSums::kWeighted] / all.v[NoiseSums::kMost]);
  const T least = *lo, most = *hi;
  for (int64_t first = kQuad * thread_index(); first < numel; first += kQuad * thread_count()) {
    T x[kQuad], grad[kQuad], out[kQuad];
    load_quad<kWide>(x, w + first, numel - first);
    load_quad<kWide>(grad, dy + first, numel - first);
    for (int k = 0; k < kQuad; ++k)
      out[k] = grad[k] + (x[k] == most ? up : T(0)) - (x[k] == least ? down : T(0));
    store_quad<kWide>(dw + first, out, numel - first);
  }
}

/// The sums of a tensor's pieces.
class PieceSums {
 public:
  template <class T>
  PieceSums(const GroupSpan& s, const NoiseInputs<T>& in) {
    if (s.size <= kMostInSpan && s.count > 1) {
      const int64_t groups = kSpan / s.size;
      int lanes = 1;
      while (lanes < kWarp && lanes * 2 <= s.size) lanes *= 2;
      auto* partial = make((s.count + groups - 1) / groups);
      launch(sum_whole_groups<T>, block_each(count_), s, groups, lanes, in, partial);
      return;
    }
    const bool whole = s.size <= kOneBlock;
    const int64_t length = whole ? s.size : kPieceLength, pieces = (s.size + length - 1) / length;
    auto* partial = make(s.count * pieces);
    launch(sum_group_pieces<T>, block_each(count_, whole && s.size > kPieceLength ? 1024 : kBlock), s, pieces,
           length, in, partial);
    if (pieces > 1 && in.dunit != nullptr)
      launch(join_noise_pieces<T>, block_each(s.count), pieces, in, partial);
  }
  /// At most kFew of them.
  void shrink() {
    constexpr int64_t kFew = 1024;
    if (count_ <= kFew) return;
    auto* all = scratch_ptr<Partial<NoiseSums>>(sums_);
    launch(join_partials, block_each(1, 1024), all + count_, all, count_);
    first_ = count_;
    count_ = 1;
  }
  const Partial<NoiseSums>* data() { return scratch_ptr<Partial<NoiseSums>>(sums_) + first_; }
  int64_t count() const { return count_; }

 private:
  Partial<NoiseSums>* make(int64_t count) {
    count_ = count;
    sums_ = scratch_for<Partial<NoiseSums>>(count + 1);
    return scratch_ptr<Partial<NoiseSums>>(sums_);
  }
  Tensor sums_;
  int64_t count_ = 0, first_ = 0;
};

template <class T>
__global__ void widths_of(int64_t n, T* y, T* derivative, const T* logits, T least, T most, bool of_noise,
                          bool units) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    const auto width = of_noise ? quant::diffq_width_of_noise(logits[i], least, most)
                                : quant::diffq_width_of_bits(logits[i], least, most);
    y[i] = units ? width.unit : width.bits;
    derivative[i] = units ? width.dunit : width.dbits;
  }
}

void make_widths(Tensor& y, Tensor& derivative, const Tensor& logits, const DiffqWidths& widths, bool units) {
  dispatch_floating(logits.dtype(), "diffq_widths", [&]<class T>() {
    launch(widths_of<T>, over(logits.numel()), logits.numel(), y.mut<T>(), derivative.mut<T>(),
           logits.ptr<T>(), static_cast<T>(widths.min_bits), static_cast<T>(widths.max_bits),
           widths.noise_parameter, units);
  });
}

/// The sum of widths, and the largest.
template <class T>
struct Size {
  using V = double;
  static constexpr int kCount = 2;
  static __device__ V none(int k) { return k == 0 ? 0.0 : -INFINITY; }
  static __device__ V join(int k, V a, V b) { return k == 0 ? a + b : Max::of(a, b); }

  GroupSpan s;
  DiffqSize size;
  T* y;
  const T* bits;
  __device__ bool group(int64_t) const { return true; }
  __device__ T element(bool, int64_t, T x, T, V (&v)[2]) const {
    v[0] += static_cast<double>(x);
    v[1] = join(1, v[1], static_cast<double>(x));
    return x;
  }
  __device__ void finish(int64_t, const V (&v)[2]) const {
    const int64_t last = s.numel - s.begin(s.count - 1);
    const double missing = static_cast<double>(s.size - last) * static_cast<double>(bits[s.count - 1]);
    const double to_tell = ::ceil(::log2(1 + ::rint(v[1]) - size.min_bits));
    *y = static_cast<T>(v[0] * static_cast<double>(s.size) - missing +
                        to_tell * static_cast<double>(s.count) + size.constant);
  }
};

template <class T>
__global__ void size_gradients(GroupSpan s, T* dbits, const T* dy) {
  for (int64_t g = thread_index(); g < s.count; g += thread_count())
    dbits[g] = *dy * static_cast<T>(s.end(g) - s.begin(g));
}

}  // namespace

void diffq_bits(Tensor& bits, Tensor& dbits, const Tensor& logits, const DiffqWidths& widths) {
  make_widths(bits, dbits, logits, widths, false);
}
void diffq_unit(Tensor& unit, Tensor& dunit, const Tensor& logits, const DiffqWidths& widths) {
  make_widths(unit, dunit, logits, widths, true);
}

void diffq_size(Tensor& y, const Tensor& bits, const DiffqSize& size) {
  const GroupSpan s(size.numel, size.group);
  dispatch_floating(bits.dtype(), "diffq_size", [&]<class T>() {
    reduce_groups(GroupSpan(s.count, 0), Size<T>{s, size, y.mut<T>(), bits.ptr<T>()},
                  static_cast<T*>(nullptr), bits.ptr<T>());
  });
}

void diffq_size_backward(Tensor& dbits, const Tensor& dy, int64_t numel, int64_t group) {
  const GroupSpan s(numel, group);
  dispatch_floating(dbits.dtype(), "diffq_size_backward", [&]<class T>() {
    launch(size_gradients<T>, over(s.count), s, dbits.mut<T>(), dy.ptr<T>());
  });
}

void add_noise(Tensor& y, const Tensor& w, const Tensor& lo, const Tensor& hi, const Tensor& unit,
               const NoiseSource& source, int64_t group) {
  const GroupSpan s(w.numel(), group);
  dispatch_floating(w.dtype(), "add_noise", [&]<class T>() {
    launch(add_noise_rows<T>, over(w.numel(), kQuad), s, Noise<T>(source, w.numel()), y.mut<T>(), w.ptr<T>(),
           lo.ptr<T>(), hi.ptr<T>(), PerGroup<T>(unit));
  });
}

void add_noise_backward(Tensor& dw, Tensor& dunit, const Tensor& dy, const Tensor& w, const Tensor& lo,
                        const Tensor& hi, const Tensor& unit, const NoiseSource& source, int64_t group) {
  // A unit for all needs no groups.
  const GroupSpan s(w.numel(), unit.numel() == 1 ? 0 : group);
  dispatch_floating(w.dtype(), "add_noise_backward", [&]<class T>() {
    const NoiseInputs<T> in(Noise<T>(source, w.numel()), dy, w, lo, hi, unit, optional_mut<T>(dunit));
    PieceSums sums(s, in);
    if (!dw.defined()) return;
    sums.shrink();
    const LaunchShape shape = over(w.numel(), kQuad);
    T* out = dw.mut<T>();
    const auto kernel =
        aligned({out, in.dy, in.w}) ? gradients_through_range<true, T> : gradients_through_range<false, T>;
    launch(kernel, shape, w.numel(), out, in.dy, in.w, in.lo, in.hi, sums.data(), sums.count());
  });
}

}  // namespace lathe::kernels::cuda
