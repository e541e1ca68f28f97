// Depthwise convolutions. A thread owns V neighbouring channels (one load) of a strip of kStrip output pixels
// of a row; a block takes a tile of up to 32 such packs of channels, whose weights it keeps in shared memory,
// and strides over strips. Channels stand innermost, so a warp's loads are whole lines.

#include "cuda/conv.h"
#include "cuda/device.cuh"

namespace lathe::cuda {
namespace {

constexpr int kStrip = 4;
constexpr size_t kSharedBytes = 48 * 1024;
constexpr int64_t kBlocks = 2048;  // wanted: of partial sums of a weight gradient

template <class T>
inline constexpr int kVector = sizeof(T) == 8 ? 2 : 4;

template <class T, int V>
struct alignas(sizeof(T) * V) Vector {
  T v[V];
};

/// Values as they are computed with.
template <class T, int V>
struct Values {
  Arithmetic<T> v[V];

  __device__ __forceinline__ void load(const T* from) {
    const auto packed = *reinterpret_cast<const Vector<T, V>*>(from);
    for (int i = 0; i < V; ++i) v[i] = static_cast<Arithmetic<T>>(packed.v[i]);
  }
  __device__ __forceinline__ void store(T* to) const {
    Vector<T, V> packed;
    for (int i = 0; i < V; ++i) packed.v[i] = static_cast<T>(v[i]);
    *reinterpret_cast<Vector<T, V>*>(to) = packed;
  }
  __device__ __forceinline__ void zero() {
    for (int i = 0; i < V; ++i) v[i] = 0;
  }
  __device__ __forceinline__ void add_product(const Values& a, const Values& b) {
    for (int i = 0; i < V; ++i) v[i] += a.v[i] * b.v[i];
  }
};

/// From `in` (n, h, w, c) to `out` (n, oh, ow, k) or back, k = multiplier c.
struct Depthwise {
  ConvSizes s;
  int packs = 1;       ///< threads of a block across channels
  int multiplier = 1;  ///< output channels per input channel; with 1 channel a thread if more than 1
  bool flipped = false;
};

/// The tile's weights as [tap][channel of the tile], zeros past the last channel; a barrier ends it.
template <class T, int V>
__device__ void load_weights(Arithmetic<T>* shared, const T* w, const Depthwise& d) {
  const int tile = d.packs * V, taps = d.s.taps();
  for (int i = threadIdx.x; i < taps * tile; i += blockDim.x) {
    const int tap = d.flipped ? taps - 1 - i / tile : i / tile;
    const int64_t channel = static_cast<int64_t>(blockIdx.x) * tile + i % tile;
    shared[i] = channel < d.s.k ? load(w, channel * taps + tap) : Arithmetic<T>(0);
  }
  __syncthreads();
}

/// Adds a row of kW taps to a strip; every pixel is loaded once.
template <class T, int V, int kW, int kStride>
__device__ __forceinline__ void add_row(Values<T, V>* sums, const T* line, const Arithmetic<T>* taps,
                                        int tile, int first, const ConvSizes& s) {
  Values<T, V> weights[kW];
  for (int kx = 0; kx < kW; ++kx) {
    for (int i = 0; i < V; ++i) weights[kx].v[i] = taps[kx * tile + i];
  }
#pragma unroll
  for (int j = 0; j < (kStrip - 1) * kStride + kW; ++j) {
    const int ix = first + j;
    if (ix < 0 || ix >= s.w) continue;
    Values<T, V> pixel;
    pixel.load(line + static_cast<int64_t>(ix) * s.c);
#pragma unroll
    for (int o = 0; o < kStrip; ++o) {
      const int kx = j - o * kStride;
      if (kx >= 0 && kx < kW) sums[o].add_product(pixel, weights[kx]);
    }
  }
}

/// The same for any width, stride and dilation; pixels that several taps read come from the cache.
template <class T, int V>
__device__ __forceinline__ void add_any_row(Values<T, V>* sums, const T* line, const Arithmetic<T>* taps,
                                            int tile, int first, const ConvSizes& s) {
  for (int kx = 0; kx < s.kw; ++kx) {
    Values<T, V> weights;
    for (int i = 0; i < V; ++i) weights.v[i] = taps[kx * tile + i];
#pragma unroll
    for (int o = 0; o < kStrip; ++o) {
      const int ix = first + o * s.stride_w + kx * s.dilation_w;
      if (ix < 0 || ix >= s.w) continue;
      Values<T, V> pixel;
      pixel.load(line + static_cast<int64_t>(ix) * s.c);
      sums[o].add_product(pixel, weights);
    }
  }
}

/// kW == 0: any width, stride and dilation; else a width of kW, a stride of kStride, no dilation along a row.
template <class T, int V, int kW, int kStride>
__global__ void forward_kernel(T* y, const T* x, const T* w, const T* bias, Depthwise d) {
  const ConvSizes& s = d.s;
  auto* weights = dynamic_shared<Arithmetic<T>>();
  load_weights<T, V>(weights, w, d);
  const int pack = threadIdx.x % d.packs, lanes = blockDim.x / d.packs, tile = d.packs * V;
  const int64_t k = (static_cast<int64_t>(blockIdx.x) * d.packs + pack) * V;
  if (k >= s.k) return;
  const int64_t strips = (s.ow + kStrip - 1) / kStrip, all = strips * s.oh * s.n;
  for (int64_t i = static_cast<int64_t>(blockIdx.y) * lanes + threadIdx.x / d.packs; i < all;
       i += static_cast<int64_t>(gridDim.y) * lanes) {
    const int column = static_cast<int>(i % strips) * kStrip, row = static_cast<int>(i / strips % s.oh);
    const int64_t image = i / strips / s.oh;
    const T* in = x + image * s.h * s.w * s.c + k / d.multiplier;
    Values<T, V> sums[kStrip];
    for (int o = 0; o < kStrip; ++o) {
      sums[o].zero();
      for (int j = 0; j < V && bias != nullptr; ++j) sums[o].v[j] = load(bias, k + j);
    }
    for (int ky = 0; ky < s.kh; ++ky) {
      const int iy = row * s.stride_h - s.pad_h + ky * s.dilation_h;
      if (iy < 0 || iy >= s.h) continue;
      const T* line = in + static_cast<int64_t>(iy) * s.w * s.c;
      const Arithmetic<T>* taps = weights + ky * s.kw * tile + pack * V;
      const int first = column * s.stride_w - s.pad_w;
      if constexpr (kW == 0) {
        add_any_row(sums, line, taps, tile, first, s);
      } else {
        add_row<T, V, kW, kStride>(sums, line, taps, tile, first, s);
      }
    }
    T* out = y + ((image * s.oh + row) * s.ow + column) * s.k + k;
    for (int o = 0; o < kStrip && column + o < s.ow; ++o) sums[o].store(out + static_cast<int64_t>(o) * s.k);
  }
}

/// dx of a strided convolution, one pixel a thread: the taps whose output position is whole.
template <class T, int V>
__global__ void backward_data_kernel(T* dx, const T* dy, const T* w, Depthwise d) {
  const ConvSizes& s = d.s;
  auto* weights = dynamic_shared<Arithmetic<T>>();
  load_weights<T, V>(weights, w, d);
  const int pack = threadIdx.x % d.packs, lanes = blockDim.x / d.packs, tile = d.packs * V;
  const int64_t c = (static_cast<int64_t>(blockIdx.x) * d.packs + pack) * V;
  if (c >= s.c) return;
  const int64_t all = static_cast<int64_t>(s.n) * s.h * s.w;
  for (int64_t i = static_cast<int64_t>(blockIdx.y) * lanes + threadIdx.x / d.packs; i < all;
       i += static_cast<int64_t>(gridDim.y) * lanes) {
    const int column = static_cast<int>(i % s.w), row = static_cast<int>(i / s.w % s.h);
    const T* out = dy + i / s.w / s.h * s.oh * s.ow * s.k + c;
    Values<T, V> sum;
    sum.zero();
    for (int ky = 0; ky < s.kh; ++ky) {
      const int y_scaled = row + s.pad_h - ky * s.dilation_h, oy = y_scaled / s.stride_h;
      if (y_scaled < 0 || oy >= s.oh || oy * s.stride_h != y_scaled) continue;
      for (int kx = 0; kx < s.kw; ++kx) {
        const int x_scaled = column + s.pad_w - kx * s.dilation_w, ox = x_scaled / s.stride_w;
        if (x_scaled < 0 || ox >= s.ow || ox * s.stride_w != x_scaled) continue;
        Values<T, V> pixel, tap;
        pixel.load(out + (static_cast<int64_t>(oy) * s.ow + ox) * s.k);
        for (int j = 0; j < V; ++j) tap.v[j] = weights[(ky * s.kw + kx) * tile + pack * V + j];
        sum.add_product(pixel, tap);
      }
    }
    sum.store(dx + i * s.c + c);
  }
}

/// One part of the gradient of kW taps of a kernel row (blockIdx.z) for a tile of channels: every thread adds
/// its strips in T's arithmetic, then the threads of a pack are added in double, in their order. kStride ==
/// 0: kW is 1, any stride and dilation.
template <class T, int V, int kW, int kStride>
__global__ void backward_weight_kernel(double* parts, const T* dy, const T* x, Depthwise d,
                                       ConvParts division) {
  __shared__ double of_thread[kBlock * V];
  const ConvSizes& s = d.s;
  const int pack = threadIdx.x % d.packs, lane = threadIdx.x / d.packs, lanes = blockDim.x / d.packs;
  const int groups = s.kw / kW, ky = static_cast<int>(blockIdx.z) / groups;
  const int first_tap = static_cast<int>(blockIdx.z) % groups * kW,
            stride = kStride == 0 ? s.stride_w : kStride;
  const int64_t k = (static_cast<int64_t>(blockIdx.x) * d.packs + pack) * V;
  const int64_t strips = (s.ow + kStrip - 1) / kStrip, all = static_cast<int64_t>(s.n) * s.oh;
  const int64_t begin = blockIdx.y * division.lines;
  const int64_t end = begin + division.lines < all ? begin + division.lines : all;
  Values<T, V> sums[kW];
  for (int t = 0; t < kW; ++t) sums[t].zero();
  for (int64_t i = begin * strips + lane; i < end * strips && k < s.k; i += lanes) {
    const int64_t line = i / strips;
    const int iy = static_cast<int>(line % s.oh) * s.stride_h - s.pad_h + ky * s.dilation_h;
    if (iy < 0 || iy >= s.h) continue;
    const int column = static_cast<int>(i % strips) * kStrip;
    const T* in = x + (line / s.oh * s.h + iy) * s.w * s.c + k / d.multiplier;
    Values<T, V> out[kStrip];
    for (int o = 0; o < kStrip; ++o) {
      out[o].zero();
      if (column + o < s.ow) out[o].load(dy + (line * s.ow + column + o) * s.k + k);
    }
    const int first = column * stride - s.pad_w + first_tap * s.dilation_w;
    // With kStride == 0 only the outputs' own pixels are read: j counts outputs.
    constexpr int kStep = kStride == 0 ? 1 : kStride;
#pragma unroll
    for (int j = 0; j < (kStrip - 1) * kStep + kW; ++j) {
      const int ix = first + (kStride == 0 ? j * stride : j);
      if (ix < 0 || ix >= s.w) continue;
      Values<T, V> pixel;
      pixel.load(in + static_cast<int64_t>(ix) * s.c);
#pragma unroll
      for (int o = 0; o < kStrip; ++o) {
        const int t = j - o * kStep;
        if (t >= 0 && t < kW) sums[t].add_product(pixel, out[o]);
      }
    }
  }
  const int tile = d.packs * V, elements_of_channel = s.taps();
  double* part = parts + blockIdx.y * static_cast<int64_t>(s.k) * elements_of_channel;
  for (int t = 0; t < kW; ++t) {
    for (int j = 0; j < V; ++j) of_thread[lane * tile + pack * V + j] = static_cast<double>(sums[t].v[j]);
    __syncthreads();
    for (int i = threadIdx.x; i < tile; i += blockDim.x) {
      const int64_t channel = static_cast<int64_t>(blockIdx.x) * tile + i;
      double sum = 0;
      for (int l = 0; l < lanes; ++l) sum += of_thread[l * tile + i];
      if (channel < s.k) part[channel * elements_of_channel + ky * s.kw + first_tap + t] = sum;
    }
    __syncthreads();
  }
}

template <class T, int V>
bool aligned(const void* address) {
  return reinterpret_cast<uintptr_t>(address) % (sizeof(T) * V) == 0;
}

/// fn.operator()<V>() for the channels a thread takes.
template <class T, class Fn>
bool with_vector(const ConvSizes& s, const T* a, const T* b, Fn&& fn) {
  constexpr int V = kVector<T>;
  const bool whole = s.c == s.k && s.c % V == 0 && aligned<T, V>(a) && aligned<T, V>(b);
  return whole ? fn.template operator()<V>() : fn.template operator()<1>();
}
/// fn.operator()<kW, kStride>(), <0, 0> unless the kernels for that width, stride and vector exist.
template <int V, class Fn>
void with_window(const ConvSizes& s, Fn&& fn) {
  if constexpr (V > 1) {
    const bool plain = s.dilation_w == 1;
    if (plain && s.kw == 3 && s.stride_w == 1) return fn.template operator()<3, 1>();
    if (plain && s.kw == 3 && s.stride_w == 2) return fn.template operator()<3, 2>();
    if (plain && s.kw == 5 && s.stride_w == 1) return fn.template operator()<5, 1>();
    if (plain && s.kw == 5 && s.stride_w == 2) return fn.template operator()<5, 2>();
  }
  fn.template operator()<0, 0>();
}

/// Blocks over tiles of channels, and over `pieces` of work of one thread each; what a thread computes does
/// not depend on their number. False if the weights of one pack do not fit shared memory.
template <class T, int V>
bool shape_of(Depthwise& d, int64_t pieces, LaunchShape& shape) {
  const size_t of_pack = static_cast<size_t>(d.s.taps()) * V * sizeof(Arithmetic<T>);
  const int64_t all = (d.s.k + V - 1) / V;
  if (of_pack > kSharedBytes) return false;
  while (d.packs < kWarp && d.packs < all && 2 * static_cast<size_t>(d.packs) * of_pack <= kSharedBytes)
    d.packs *= 2;
  const int64_t lanes = kBlock / d.packs, tiles = (all + d.packs - 1) / d.packs;
  const int64_t most = std::max<int64_t>(int64_t{32} * current().multiprocessors / tiles, 1);
  shape.grid.x = static_cast<unsigned>(tiles);
  shape.grid.y = static_cast<unsigned>(std::min({(pieces + lanes - 1) / lanes, most, int64_t{65535}}));
  shape.shared_bytes = static_cast<size_t>(d.packs) * of_pack;
  return true;
}

template <class T>
bool run_forward(Depthwise d, T* y, const T* x, const T* w, const T* bias) {
  const ConvSizes& s = d.s;
  return with_vector(s, x, y, [&]<int V>() {
    LaunchShape shape;
    const int64_t strips = (s.ow + kStrip - 1) / kStrip;
    if (!shape_of<T, V>(d, strips * s.oh * s.n, shape)) return false;
    with_window<V>(s, [&]<int kW, int kStride>() {
      launch(forward_kernel<T, V, kW, kStride>, shape, y, x, w, bias, d);
    });
    return true;
  });
}

template <class T>
bool run_backward_data(Depthwise d, T* dx, const T* dy, const T* w) {
  const ConvSizes& s = d.s;
  return with_vector(s, dx, dy, [&]<int V>() {
    LaunchShape shape;
    if (!shape_of<T, V>(d, static_cast<int64_t>(s.n) * s.h * s.w, shape)) return false;
    launch(backward_data_kernel<T, V>, shape, dx, dy, w, d);
    return true;
  });
}

template <class T>
bool run_backward_weight(Depthwise d, T* dw, const T* dy, const T* x) {
  const ConvSizes& s = d.s;
  if (s.taps() > 65535) return false;
  return with_vector(s, x, dy, [&]<int V>() {
    with_window<V>(s, [&]<int kWindow, int kStride>() {
      constexpr int kW = kWindow == 0 ? 1 : kWindow;
      const int64_t all = (s.k + V - 1) / V, elements = static_cast<int64_t>(s.k) * s.taps();
      while (d.packs < kWarp && d.packs < all) d.packs *= 2;
      LaunchShape shape;
      shape.grid.x = static_cast<unsigned>((all + d.packs - 1) / d.packs);
      shape.grid.z = static_cast<unsigned>(s.taps() / kW);
      const ConvParts division(s, kBlocks / (static_cast<int64_t>(shape.grid.x) * shape.grid.z));
      shape.grid.y = static_cast<unsigned>(division.count);
      Tensor parts = Tensor::empty({division.count, elements}, DType::F64, current_device());
      double* sums = parts.mut<double>();
      launch(backward_weight_kernel<T, V, kW, kStride>, shape, sums, dy, x, d, division);
      add_conv_parts(dw, sums, division.count, elements);
    });
    return true;
  });
}

}  // namespace

bool is_depthwise(const ConvSizes& s) {
  return s.groups > 1 && s.group_c() == 1;
}

template <class T>
bool depthwise_forward(T* y, const T* x, const T* w, const T* bias, const ConvSizes& s) {
  Depthwise d{s};
  d.multiplier = s.group_k();
  return run_forward(d, y, x, w, bias);
}

template <class T>
bool depthwise_backward_data(T* dx, const T* dy, const T* w, const ConvSizes& s) {
  if (s.group_k() != 1) return false;
  Depthwise d{s};
  if (s.stride_h != 1 || s.stride_w != 1) return run_backward_data(d, dx, dy, w);
  // A forward pass over dy with the kernel turned round.
  std::swap(d.s.h, d.s.oh);
  std::swap(d.s.w, d.s.ow);
  d.s.pad_h = s.dilation_h * (s.kh - 1) - s.pad_h;
  d.s.pad_w = s.dilation_w * (s.kw - 1) - s.pad_w;
  d.flipped = true;
  return run_forward<T>(d, dx, dy, w, nullptr);
}

template <class T>
bool depthwise_backward_weight(T* dw, const T* dy, const T* x, const ConvSizes& s) {
  Depthwise d{s};
  d.multiplier = s.group_k();
  return run_backward_weight(d, dw, dy, x);
}

#define LATHE_INSTANTIATE(T)                                                           \
  template bool depthwise_forward(T*, const T*, const T*, const T*, const ConvSizes&); \
  template bool depthwise_backward_data(T*, const T*, const T*, const ConvSizes&);     \
  template bool depthwise_backward_weight(T*, const T*, const T*, const ConvSizes&);
LATHE_INSTANTIATE(float)
LATHE_INSTANTIATE(double)
LATHE_INSTANTIATE(bf16)
#undef LATHE_INSTANTIATE

}  // namespace lathe::cuda
