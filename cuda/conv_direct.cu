// Convolutions of any shape, in gather form: every thread owns what it writes.

#include "cuda/conv.h"
#include "cuda/device.cuh"

namespace lathe::cuda {
namespace {

constexpr int kAddLanes = 8;                        // of partial sums of one element
constexpr int64_t kPartialSums = int64_t{1} << 19;  // wanted: threads that fill a device
constexpr int64_t kMostParts = 256;

/// Channels innermost: the lanes of a warp read the same pixels and neighbouring outputs.
template <class T>
__global__ void forward_kernel(T* y, const T* x, const T* w, const T* bias, ConvSizes s, int64_t total) {
  const int group_c = s.group_c(), group_k = s.group_k();
  for (int64_t i = thread_index(); i < total; i += thread_count()) {
    const int k = static_cast<int>(i % s.k), column = static_cast<int>(i / s.k % s.ow);
    const int64_t line = i / s.k / s.ow;
    const int row = static_cast<int>(line % s.oh);
    const T* image = x + line / s.oh * s.h * s.w * s.c + k / group_k * group_c;
    const T* weights = w + static_cast<int64_t>(k) * s.taps() * group_c;
    Arithmetic<T> sum = 0;
    for (int ky = 0; ky < s.kh; ++ky) {
      const int iy = row * s.stride_h - s.pad_h + ky * s.dilation_h;
      if (iy < 0 || iy >= s.h) continue;
      for (int kx = 0; kx < s.kw; ++kx) {
        const int ix = column * s.stride_w - s.pad_w + kx * s.dilation_w;
        if (ix < 0 || ix >= s.w) continue;
        const T* pixel = image + (static_cast<int64_t>(iy) * s.w + ix) * s.c;
        const T* tap = weights + static_cast<int64_t>(ky * s.kw + kx) * group_c;
        for (int c = 0; c < group_c; ++c) sum += load(pixel, c) * load(tap, c);
      }
    }
    if (bias != nullptr) sum += load(bias, k);
    store(y, i, sum);
  }
}

/// The output position that tap `tap` of input position `at` belongs to, or -1.
__device__ inline int output_of(int at, int pad, int tap, int dilation, int stride, int outputs) {
  const int scaled = at + pad - tap * dilation;
  if (scaled < 0 || scaled % stride != 0) return -1;
  return scaled / stride < outputs ? scaled / stride : -1;
}

template <class T>
__global__ void backward_data_kernel(T* dx, const T* dy, const T* w, ConvSizes s, int64_t total) {
  const int group_c = s.group_c(), group_k = s.group_k();
  for (int64_t i = thread_index(); i < total; i += thread_count()) {
    const int c = static_cast<int>(i % s.c), column = static_cast<int>(i / s.c % s.w);
    const int64_t line = i / s.c / s.w;
    const int row = static_cast<int>(line % s.h), group = c / group_c;
    const T* image = dy + line / s.h * s.oh * s.ow * s.k + group * group_k;
    const T* weights = w + static_cast<int64_t>(group) * group_k * s.taps() * group_c + c % group_c;
    Arithmetic<T> sum = 0;
    for (int ky = 0; ky < s.kh; ++ky) {
      const int oy = output_of(row, s.pad_h, ky, s.dilation_h, s.stride_h, s.oh);
      if (oy < 0) continue;
      for (int kx = 0; kx < s.kw; ++kx) {
        const int ox = output_of(column, s.pad_w, kx, s.dilation_w, s.stride_w, s.ow);
        if (ox < 0) continue;
        const T* pixel = image + (static_cast<int64_t>(oy) * s.ow + ox) * s.k;
        const T* tap = weights + static_cast<int64_t>(ky * s.kw + kx) * group_c;
        for (int k = 0; k < group_k; ++k) {
          sum += load(pixel, k) * load(tap, static_cast<int64_t>(k) * s.taps() * group_c);
        }
      }
    }
    store(dx, i, sum);
  }
}

/// One thread per element and part; sums of a line in T's arithmetic, of lines in double.
template <class T>
__global__ void backward_weight_kernel(double* parts, const T* dy, const T* x, ConvSizes s,
                                       ConvParts division, int64_t elements) {
  const int group_c = s.group_c(), group_k = s.group_k();
  for (int64_t i = thread_index(); i < elements * division.count; i += thread_count()) {
    const int64_t element = i % elements, part = i / elements;
    const int c = static_cast<int>(element % group_c), tap = static_cast<int>(element / group_c % s.taps());
    const int k = static_cast<int>(element / group_c / s.taps()), kx = tap % s.kw, ky = tap / s.kw;
    const T* inputs = x + k / group_k * group_c + c;
    const int64_t all = static_cast<int64_t>(s.n) * s.oh, first = part * division.lines;
    const int64_t last = first + division.lines < all ? first + division.lines : all;
    double total = 0;
    for (int64_t line = first; line < last; ++line) {
      const int iy = static_cast<int>(line % s.oh) * s.stride_h - s.pad_h + ky * s.dilation_h;
      if (iy < 0 || iy >= s.h) continue;
      const T* in = inputs + (line / s.oh * s.h + iy) * s.w * s.c;
      const T* out = dy + line * s.ow * s.k + k;
      Arithmetic<T> sum = 0;
      for (int column = 0; column < s.ow; ++column) {
        const int ix = column * s.stride_w - s.pad_w + kx * s.dilation_w;
        if (ix < 0 || ix >= s.w) continue;
        sum += load(out, static_cast<int64_t>(column) * s.k) * load(in, static_cast<int64_t>(ix) * s.c);
      }
      total += static_cast<double>(sum);
    }
    parts[i] = total;
  }
}

/// A block adds 32 elements: each of 8 lanes every eighth part, then lane 0 the eight sums.
template <class T>
__global__ void add_parts_kernel(T* dw, const double* parts, int64_t count, int64_t elements) {
  __shared__ double sums[kAddLanes][kWarp];
  const int at = threadIdx.x % kWarp, lane = threadIdx.x / kWarp;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kWarp + at;
  double sum = 0;
  if (i < elements) {
    for (int64_t p = lane; p < count; p += kAddLanes) sum += parts[p * elements + i];
  }
  sums[lane][at] = sum;
  __syncthreads();
  if (lane != 0 || i >= elements) return;
  for (int l = 1; l < kAddLanes; ++l) sum += sums[l][at];
  dw[i] = static_cast<T>(sum);
}

}  // namespace

ConvParts::ConvParts(const ConvSizes& s, int64_t wanted) {
  const int64_t all = std::max<int64_t>(static_cast<int64_t>(s.n) * s.oh, 1);
  const int64_t most = std::clamp<int64_t>(wanted, 1, std::min(all, kMostParts));
  lines = (all + most - 1) / most;
  count = (all + lines - 1) / lines;
}

template <class T>
void add_conv_parts(T* dw, const double* parts, int64_t count, int64_t elements) {
  launch(add_parts_kernel<T>, block_each((elements + kWarp - 1) / kWarp, kAddLanes * kWarp), dw, parts, count,
         elements);
}

template <class T>
void direct_forward(T* y, const T* x, const T* w, const T* bias, const ConvSizes& s) {
  const int64_t total = static_cast<int64_t>(s.n) * s.oh * s.ow * s.k;
  launch(forward_kernel<T>, over(total), y, x, w, bias, s, total);
}

template <class T>
void direct_backward_data(T* dx, const T* dy, const T* w, const ConvSizes& s) {
  const int64_t total = static_cast<int64_t>(s.n) * s.h * s.w * s.c;
  launch(backward_data_kernel<T>, over(total), dx, dy, w, s, total);
}

template <class T>
void direct_backward_weight(T* dw, const T* dy, const T* x, const ConvSizes& s) {
  const int64_t elements = static_cast<int64_t>(s.k) * s.taps() * s.group_c();
  const ConvParts division(s, kPartialSums / elements);
  Tensor parts = Tensor::empty({division.count, elements}, DType::F64, current_device());
  double* sums = parts.mut<double>();
  launch(backward_weight_kernel<T>, over(parts.numel()), sums, dy, x, s, division, elements);
  add_conv_parts(dw, sums, division.count, elements);
}

#define LATHE_INSTANTIATE(T)                                                        \
  template void add_conv_parts(T*, const double*, int64_t, int64_t);                \
  template void direct_forward(T*, const T*, const T*, const T*, const ConvSizes&); \
  template void direct_backward_data(T*, const T*, const T*, const ConvSizes&);     \
  template void direct_backward_weight(T*, const T*, const T*, const ConvSizes&);
LATHE_INSTANTIATE(float)
LATHE_INSTANTIATE(double)
LATHE_INSTANTIATE(bf16)
#undef LATHE_INSTANTIATE

}  // namespace lathe::cuda
