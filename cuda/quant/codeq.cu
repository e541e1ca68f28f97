#include "cuda/quant/groups.cuh"
#include "cuda/quant/select.cuh"
#include "quant/kernels.h"
#include "quant/math/codeq.h"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;
using quant::CodeqGrid;

/// NaN where the range is, as any weight might be then.
template <class T>
__device__ void put_quantile(T* y, const T* lo, const T* hi, const QuantilePlace& place,
                             const Neighbours<T>& found) {
  *y = *lo - *lo + (*hi - *hi) + place.between(found);
}

template <class T>
__global__ void __launch_bounds__(1024)
    quantile_of_block(T* y, const T* w, const T* lo, const T* hi, int64_t n, QuantilePlace place) {
  __shared__ uint32_t counts[kBins];
  const auto found = block_select<MagnitudeKey<T>>(w, n, place.below, counts);
  if (threadIdx.x == 0) put_quantile(y, lo, hi, place, found);
}

/// What the blocks of a large selection share.
template <class U>
struct SharedSelection {
  unsigned long long counts[kDigits<U>][kBins];
  Selection<U> at[kDigits<U> + 1];  ///< before each digit, and at the end
  unsigned long long above;         ///< the least key above the one found
};

template <class U>
__global__ void begin_selection(SharedSelection<U>* s, uint64_t n, uint64_t place) {
  for (int64_t i = thread_index(); i < kDigits<U> * kBins; i += thread_count())
    s->counts[i / kBins][i % kBins] = 0;
  if (thread_index() != 0) return;
  s->at[0] = {0, place, n};
  s->above = ~0ull;
}

/// Every block finds it on its own.
template <class U>
__device__ Selection<U> selection_before(SharedSelection<U>* s, int digit) {
  if (digit == 0) return s->at[0];
  const Selection<U> at = narrowed(s->at[digit - 1], digit - 1, s->counts[digit - 1]);
  if (blockIdx.x == 0 && threadIdx.x == 0) s->at[digit] = at;
  return at;
}

template <class T>
__global__ void count_digit(SharedSelection<KeyOf<T>>* s, int digit, const T* w, int64_t n) {
  __shared__ uint32_t counts[kBins];
  for (int bin = threadIdx.x; bin < kBins; bin += static_cast<int>(blockDim.x)) counts[bin] = 0;
  const auto at = selection_before(s, digit);
  __syncthreads();
  for (int64_t first = kQuad * thread_index(); first < n; first += kQuad * thread_count()) {
    T x[kQuad];
    load_quad<true>(x, w + first, n - first);
    for (int k = 0; k < kQuad; ++k) {
      const int bin = first + k < n ? bin_of(MagnitudeKey<T>::of(x[k]), at, digit) : -1;
      if (bin >= 0) atomicAdd(counts + bin, 1u);
    }
  }
  __syncthreads();
  for (int bin = threadIdx.x; bin < kBins; bin += static_cast<int>(blockDim.x)) {
    if (counts[bin] != 0) atomicAdd(&s->counts[digit][bin], static_cast<unsigned long long>(counts[bin]));
  }
}

template <class T>
__global__ void find_above(SharedSelection<KeyOf<T>>* s, const T* w, int64_t n) {
  using U = KeyOf<T>;
  const auto at = selection_before(s, kDigits<U>);
  if (at.place + 1 < at.count) return;
  U above = ~U{0};
  for (int64_t first = kQuad * thread_index(); first < n; first += kQuad * thread_count()) {
    T x[kQuad];
    load_quad<true>(x, w + first, n - first);
    for (int k = 0; k < kQuad; ++k) {
      const U key = MagnitudeKey<T>::of(x[k]);
      if (first + k < n && key > at.key && key < above) above = key;
    }
  }
  above = block_reduce<LeastKey>(above);
  if (threadIdx.x == 0 && above != ~U{0}) atomicMin(&s->above, static_cast<unsigned long long>(above));
}

template <class T>
__global__ void end_selection(const SharedSelection<KeyOf<T>>* s, T* y, const T* lo, const T* hi,
                              QuantilePlace place) {
  using Key = MagnitudeKey<T>;
  const auto at = s->at[kDigits<KeyOf<T>>];
  const bool next = at.place + 1 >= at.count && s->above != ~0ull;
  const T first = Key::value(at.key);
  put_quantile(y, lo, hi, place, {first, next ? Key::value(static_cast<KeyOf<T>>(s->above)) : first});
}

template <class T>
void large_quantile(T* y, const T* w, const T* lo, const T* hi, int64_t n, const QuantilePlace& place) {
  using U = KeyOf<T>;
  Tensor scratch = scratch_for<SharedSelection<U>>(1);
  auto* s = scratch_ptr<SharedSelection<U>>(scratch);
  launch(begin_selection<U>, over(kDigits<U> * kBins), s, static_cast<uint64_t>(n), place.below);
  LaunchShape shape = over(n, 8 * kQuad);
  shape.grid.x = std::min(shape.grid.x, static_cast<unsigned>(current().multiprocessors) * 8);
  for (int digit = 0; digit < kDigits<U>; ++digit) launch(count_digit<T>, shape, s, digit, w, n);
  launch(find_above<T>, shape, s, w, n);
  launch(end_selection<T>, block_each(1, 1), s, y, lo, hi, place);
}

template <class T>
__device__ CodeqGrid<T> read_grid(const T* g) {
  return {g[0], g[1], g[2], g[3], g[4]};
}

template <class T>
__global__ void make_grid(T* out, const T* amplitude, const T* dead_zone, const T* logit, CodeqShape shape) {
  const T a = *amplitude;
  const T bits = logit != nullptr ? quant::codeq_bits(*logit, static_cast<T>(shape.min_bits),
                                                      static_cast<T>(shape.max_bits))
                                  : static_cast<T>(shape.fixed_bits);
  const CodeqGrid<T> g = quant::codeq_grid(a, quant::codeq_width(a, *dead_zone), bits,
                                           static_cast<T>(shape.eps), static_cast<T>(shape.step_floor) * a);
  const T values[] = {g.amplitude, g.width, g.most, g.step, g.shift, bits};
  for (int i = 0; i < 6; ++i) out[i] = values[i];
}

template <class T>
struct Value {
  const T* grid;
  __device__ CodeqGrid<T> group(int64_t) const { return read_grid(grid); }
  __device__ T value(const CodeqGrid<T>& g, int64_t, T w, T) const { return quant::codeq_value(w, g); }
};

template <class T>
struct Gradients : SumFn<2> {
  const T *grid, *dead_zone, *bits;
  T *ddead_zone, *dbits;
  CodeqShape shape;
  Gradients(const T* of, const T* zone, const T* logit, T* dzone, T* dlogit, const CodeqShape& options)
      : grid(of), dead_zone(zone), bits(logit), ddead_zone(dzone), dbits(dlogit), shape(options) {}

  __device__ CodeqGrid<T> group(int64_t) const { return read_grid(grid); }
  __device__ T element(const CodeqGrid<T>& g, int64_t, T w, T dy, double (&v)[2]) const {
    const auto d = quant::codeq_gradients(w, g);
    v[0] += static_cast<double>(dy) * static_cast<double>(d.step);
    v[1] += static_cast<double>(dy) * static_cast<double>(d.half_shift);
    return w == T(0) && !shape.zero_weight_grad ? T(0) : dy;
  }
  __device__ void finish(int64_t, const double (&v)[2]) const {
    const CodeqGrid<T> g = group(0);
    const double a = static_cast<double>(g.amplitude), width = static_cast<double>(g.width),
                 most = static_cast<double>(g.most), half = most - 0.5;
    const double dstep = static_cast<double>(g.step) <= shape.step_floor * a ? 0 : v[0];
    if (ddead_zone != nullptr) {
      const double logit = static_cast<double>(*dead_zone), t = ::tanh(logit);
      const double dwidth = v[1] - dstep / (2 * half);
      *ddead_zone = static_cast<T>(dwidth * -2 * a * quant::sign(logit) * (1 - t * t));
    }
    if (dbits != nullptr) {
      const double logit = static_cast<double>(*bits), t = ::tanh(logit);
      const double dmost = -dstep * (a - width / 2) / (half * half);
      const double slope = (shape.max_bits - shape.min_bits) * quant::sign(logit) * (1 - t * t);
      *dbits = static_cast<T>(dmost * quant::kLn2 * (most + 1) * slope);
    }
  }
};

}  // namespace

void magnitude_quantile(Tensor& y, const Tensor& w, const Tensor& lo, const Tensor& hi, double q) {
  dispatch_floating(w.dtype(), "magnitude_quantile", [&]<class T>() {
    const int64_t n = w.numel();
    const QuantilePlace place(q, n);
    const T *x = w.ptr<T>(), *least = lo.ptr<T>(), *most = hi.ptr<T>();
    if (n > kOneBlock && aligned({x})) return large_quantile(y.mut<T>(), x, least, most, n, place);
    launch(quantile_of_block<T>, block_each(1, n > kPieceLength ? 1024 : kBlock), y.mut<T>(), x, least, most,
           n, place);
  });
}

void codeq_grid(Tensor& grid, const Tensor& amplitude, const Tensor& dead_zone, const Tensor& bits,
                const CodeqShape& shape) {
  dispatch_floating(grid.dtype(), "codeq_grid", [&]<class T>() {
    launch(make_grid<T>, block_each(1, 1), grid.mut<T>(), amplitude.ptr<T>(), dead_zone.ptr<T>(),
           optional_ptr<T>(bits), shape);
  });
}

void codeq_quantize(Tensor& y, const Tensor& w, const Tensor& grid) {
  dispatch_floating(w.dtype(), "codeq_quantize", [&]<class T>() {
    map_groups(GroupSpan(w.numel(), 0), Value<T>{grid.ptr<T>()}, y.mut<T>(), w.ptr<T>());
  });
}

void codeq_backward(Tensor& dw, Tensor& ddead_zone, Tensor& dbits, const Tensor& dy, const Tensor& w,
                    const Tensor& grid, const Tensor& dead_zone, const Tensor& bits,
                    const CodeqShape& shape) {
  dispatch_floating(w.dtype(), "codeq_backward", [&]<class T>() {
    const Gradients<T> fn(grid.ptr<T>(), dead_zone.ptr<T>(), optional_ptr<T>(bits),
                          optional_mut<T>(ddead_zone), optional_mut<T>(dbits), shape);
    reduce_groups(GroupSpan(w.numel(), 0), fn, optional_mut<T>(dw), w.ptr<T>(), dy.ptr<T>());
  });
}

}  // namespace lathe::kernels::cuda
