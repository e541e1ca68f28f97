#pragma once
// Two sums per channel over the rows of (samples, rows, C): partial sums over fixed chunks of rows, in
// double, and their total in the chunks' order. Shared by the normalisations.

#include "core/tensor.h"
#include "cuda/device.cuh"

namespace lathe::cuda {

inline constexpr int kChannelBlock = 512;
inline constexpr int kChannelWarps = kChannelBlock / kWarp;
inline constexpr int kMostTile = 64;  ///< channels of a tile

/// What normalisations keep parameters and statistics of elements of type T in.
template <class T>
using NormParameter = Arithmetic<T>;

/// V neighbours, read and written at once. at() reads what no thread of the launch writes.
template <class T, int V>
struct alignas(sizeof(T) * V) Lanes {
  T v[V];

  static __device__ __forceinline__ Lanes at(const T* x, int64_t i) {
#if !LATHE_CUDA_EMULATED
    if constexpr (sizeof(Lanes) == sizeof(float4)) {
      return __builtin_bit_cast(Lanes, __ldg(reinterpret_cast<const float4*>(x + i)));
    }
#endif
    return *reinterpret_cast<const Lanes*>(x + i);
  }
  __device__ __forceinline__ void to(T* y, int64_t i) const {
#if !LATHE_CUDA_EMULATED
    // A plain assignment may be compiled to a store per element.
    if constexpr (sizeof(Lanes) == sizeof(float4)) {
      __stwb(reinterpret_cast<float4*>(y + i), __builtin_bit_cast(float4, *this));
      return;
    }
#endif
    *reinterpret_cast<Lanes*>(y + i) = *this;
  }
  __device__ Arithmetic<T> operator[](int i) const {
    return static_cast<Arithmetic<T>>(v[i]);
  }
  __device__ void set(int i, Arithmetic<T> value) {
    v[i] = static_cast<T>(value);
  }
};
template <class T>
inline constexpr int kWidestLanes = static_cast<int>(16 / sizeof(T));

/// How a block's threads lie over channels and rows: `lanes` neighbours (a power of two) hold V channels
/// each, together a tile, and the other threads hold other rows of it. A tile is 128 bytes of a row where
/// channels are many. blockIdx.x is (sample chunks + chunk) tiles + tile.
struct ChannelGrid {
  int64_t samples = 1, rows = 0, channels = 0;
  int64_t chunk = 1;  ///< rows of one
  int chunks = 1, tiles = 1, lanes = 1, tile = 1;

  ChannelGrid() = default;
  /// Chunks depend on sizes only. Their number stays small beside that of the rows, because each block of a
  /// pass over the elements adds all of its tile's partial sums: 128 at most, and about 512 blocks in all.
  ChannelGrid(int64_t samples_, int64_t rows_, int64_t channels_, int width)
      : samples(samples_), rows(rows_), channels(channels_) {
    const int64_t columns = (channels + width - 1) / width;
    const int most = width == 1 ? kWarp : 8;
    while (lanes < columns && lanes < most) lanes *= 2;
    tile = lanes * width;
    tiles = static_cast<int>((channels + tile - 1) / tile);
    const int64_t at_once = kChannelBlock / lanes;
    const int64_t wanted = std::min<int64_t>(128, 512 / std::max<int64_t>(1, tiles * samples));
    chunk = std::max<int64_t>(4 * at_once,
                              (rows + std::max<int64_t>(1, wanted) - 1) / std::max<int64_t>(1, wanted));
    chunk = (chunk + at_once - 1) / at_once * at_once;
    chunks = static_cast<int>(std::max<int64_t>(1, (rows + chunk - 1) / chunk));
  }

  LaunchShape shape() const { return block_each(samples * chunks * tiles, kChannelBlock); }
  /// Doubles of all partial sums: (samples, chunks, 2, channels).
  int64_t partial_size() const { return samples * chunks * 2 * channels; }

  __device__ int64_t tile_index() const { return blockIdx.x % tiles; }
  __device__ int64_t chunk_index() const { return blockIdx.x / tiles % chunks; }
  __device__ int64_t sample() const { return blockIdx.x / tiles / chunks; }
  __device__ int64_t first_channel() const { return tile_index() * tile; }
  /// This thread's first channel of V.
  template <int V>
  __device__ int64_t channel() const {
    return first_channel() + static_cast<int64_t>(threadIdx.x % lanes) * V;
  }
  /// use(load(element), row of the sample, element) for this thread's rows of its block's chunk; the loads of
  /// several rows are under way together.
  template <int V, class Load, class Use>
  __device__ __forceinline__ void for_each_row(Load load, Use use) const {
    const int64_t c = channel<V>();
    if (c >= channels) return;
    const int64_t lo = chunk_index() * chunk, hi = lo + chunk < rows ? lo + chunk : rows;
    const int64_t step = kChannelBlock / lanes, stride = step * channels;
    int64_t row = lo + threadIdx.x / lanes;
    int64_t at = (sample() * rows + row) * channels + c;
    using Loaded = decltype(load(at));
    constexpr int kAtOnce = (sizeof(Loaded) <= 16 ? 4 : 2) / (V > 4 ? 2 : 1);  // within the registers
    for (; row + (kAtOnce - 1) * step < hi; row += kAtOnce * step, at += kAtOnce * stride) {
      Loaded loaded[kAtOnce];
      for (int i = 0; i < kAtOnce; ++i) loaded[i] = load(at + i * stride);
      for (int i = 0; i < kAtOnce; ++i) use(loaded[i], row + i * step, at + i * stride);
    }
    for (; row < hi; row += step, at += stride) use(load(at), row, at);
  }
};

/// V of the widest loads that the rows' length and all addresses allow, or 1.
template <class T, class... Pointers>
bool wide_channels(int64_t channels, const Pointers*... pointers) {
  const auto aligned = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  return channels % kWidestLanes<T> == 0 && (aligned(pointers) && ...);
}

/// partial (samples, chunks, 2, C). Term::add<V>(sums, row, at) adds V channels' values at element `at` of
/// row `row` to sums[0][v] and sums[1][v]; Term::start<V>(sample, channel) comes first.
template <int V, class Term>
__global__ void __launch_bounds__(kChannelBlock, 2)
    channel_sums(Term term, ChannelGrid grid, double* partial) {
  __shared__ double of_warp[2][kChannelWarps][kMostTile];
  double sums[2][V] = {};
  const int64_t channel = grid.channel<V>();
  if (channel < grid.channels && grid.rows > 0) {
    term.template start<V>(grid.sample(), channel);
    grid.for_each_row<V>([&](int64_t at) { return term.template load<V>(at); },
                         [&](const auto& in, int64_t row, int64_t) { term.template add<V>(sums, in, row); });
  }
  for (int k = 0; k < 2; ++k) {
    for (int v = 0; v < V; ++v) {
      for (int offset = grid.lanes; offset < kWarp; offset *= 2) {
        sums[k][v] += __shfl_xor_sync(0xFFFFFFFFu, sums[k][v], offset);
      }
    }
  }
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  if (lane < grid.lanes) {
    for (int k = 0; k < 2; ++k) {
      for (int v = 0; v < V; ++v) of_warp[k][warp][lane * V + v] = sums[k][v];
    }
  }
  __syncthreads();
  const int k = threadIdx.x / grid.tile, j = threadIdx.x % grid.tile;
  if (k >= 2 || grid.first_channel() + j >= grid.channels) return;
  double sum = 0;
  for (int w = 0; w < kChannelWarps; ++w) sum += of_warp[k][w][j];
  partial[((grid.sample() * grid.chunks + grid.chunk_index()) * 2 + k) * grid.channels +
          grid.first_channel() + j] = sum;
}

/// total[k][j], in shared memory, becomes sum k of channel j of the block's tile over all chunks of its
/// sample. All threads take part; ends with a barrier.
__device__ inline void total_of_chunks(double (*total)[kMostTile], const double* partial,
                                       const ChannelGrid& grid) {
  __shared__ double of_piece[kChannelBlock];
  const int size = 2 * grid.tile;
  const int pieces = kChannelBlock / size < 16 ? kChannelBlock / size : 16;
  const int piece = threadIdx.x / size, k = threadIdx.x % size / grid.tile, j = threadIdx.x % grid.tile;
  const int64_t channel = grid.first_channel() + j;
  if (piece < pieces) {
    double sum = 0;
    if (channel < grid.channels) {
      const double* from = partial + (grid.sample() * grid.chunks * 2 + k) * grid.channels + channel;
      for (int chunk = piece; chunk < grid.chunks; chunk += pieces) sum += from[chunk * 2 * grid.channels];
    }
    of_piece[threadIdx.x] = sum;
  }
  __syncthreads();
  if (piece == 0) {
    double sum = 0;
    for (int p = 0; p < pieces; ++p) sum += of_piece[p * size + threadIdx.x];
    total[k][j] = sum;
  }
  __syncthreads();
}

}  // namespace lathe::cuda
