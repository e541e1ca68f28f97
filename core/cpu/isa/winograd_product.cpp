// The products of the 36 points, see Note [Winograd convolution].

#include "core/cpu/isa/conv_ahead.h"
#include "core/cpu/isa_winograd.h"
#include "core/simd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

/// Tiles of a register tile V vectors wide.
template <int V>
constexpr int kTiles = kRegisters == 32 ? (V == 2 ? 14 : 16) : (V == 2 ? 6 : 12);

/// Elements from vector v of a panel to its first; a block holds 16 channels.
template <class T>
[[gnu::always_inline]] inline int64_t lane_offset(int v, int64_t block) {
  return v * kLanes<T> / kWinogradBlock * block + v * kLanes<T> % kWinogradBlock;
}
/// The same for channel c.
[[gnu::always_inline]] inline int64_t channel_offset(int64_t c, int64_t block) {
  return c / kWinogradBlock * block + c % kWinogradBlock;
}

template <class T>
struct Panel {
  const T* u;
  int64_t ins, v_block, m_block;
  bool accumulate;
};

/// Zero, one by one: an array set as a whole becomes a string instruction.
template <class T, int V, int P>
[[gnu::always_inline]] inline void clear(Vec<T> (&acc)[P][V]) {
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
    for (int j = 0; j < V; ++j) acc[p][j] = Vec<T>{};
  }
}

template <class T, int V, int P>
[[gnu::noinline]] void tile(const Panel<T>& panel, T* m, const T* v) {
  constexpr int kL = kLanes<T>;
  Vec<T> acc[P][V];
  clear<T, V, P>(acc);
  const T* u = panel.u;
  for (int64_t c = 0; c < panel.ins; c += kWinogradBlock, v += panel.v_block) {
#pragma GCC unroll 4
    for (int l = 0; l < kWinogradBlock; ++l, u += V * kL) {
      Vec<T> b[V];
#pragma GCC unroll 2
      for (int j = 0; j < V; ++j) b[j] = load(u + j * kL);
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) {
        const Vec<T> a = broadcast(v[p * kWinogradBlock + l]);
#pragma GCC unroll 2
        for (int j = 0; j < V; ++j) acc[p][j] += a * b[j];
      }
    }
  }
  const int64_t m_block = panel.m_block;
  if (panel.accumulate) {
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
      for (int j = 0; j < V; ++j) acc[p][j] += load(m + lane_offset<T>(j, m_block) + p * kWinogradBlock);
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
    for (int j = 0; j < V; ++j) store(m + lane_offset<T>(j, m_block) + p * kWinogradBlock, acc[p][j]);
  }
}

template <class T>
using TileFunction = void (*)(const Panel<T>&, T*, const T*);

/// The kernel for `tiles` <= P.
template <class T, int V, int P>
TileFunction<T> pick(int64_t tiles) {
  if constexpr (P > 1) {
    if (tiles < P) return pick<T, V, P - 1>(tiles);
  }
  return &tile<T, V, P>;
}

/// All tiles by one panel V vectors wide, in register tiles of nearly equal size.
template <class T, int V>
struct Products {
  int64_t count, small, large_count;
  TileFunction<T> run_small, run_large;

  explicit Products(int64_t tiles)
      : count((tiles + kTiles<V> - 1) / kTiles<V>), small(tiles / count), large_count(tiles % count) {
    run_small = pick<T, V, kTiles<V>>(small);
    run_large = large_count > 0 ? pick<T, V, kTiles<V>>(small + 1) : run_small;
  }
  void run(const Panel<T>& panel, T* m, const T* v, Ahead (&ahead)[3]) const {
    for (int64_t n = 0; n < count; ++n) {
      for (Ahead& a : ahead) a.advance();
      (n < large_count ? run_large : run_small)(panel, m, v);
      const int64_t step = (n < large_count ? small + 1 : small) * kWinogradBlock;
      m += step;
      v += step;
    }
  }
};

template <class T>
void run_products(const WinogradProductJob<T>& job) {
  constexpr int64_t kL = kLanes<T>;
  const Products<T, 2> wide(job.tiles);
  const Products<T, 1> narrow(job.tiles);
  const int64_t panels = (job.outs + 2 * kL - 1) / (2 * kL), calls = kWinogradPoints * panels * wide.count;
  Ahead ahead[3] = {Ahead(job.ahead[0], calls), Ahead(job.ahead[1], calls), Ahead(job.ahead[2], calls)};
  Panel<T> panel{job.u, job.ins, job.v.block, job.m.block, job.accumulate};
  for (int64_t point = 0; point < kWinogradPoints; ++point) {
    panel.u = job.u + point * winograd_weights_point(job.ins * job.outs);
    T* m = job.m.data + point * job.m.point;
    const T* v = job.v.data + point * job.v.point;
    int64_t k = 0;
    for (; job.outs - k > kL; k += 2 * kL, panel.u += 2 * kL * job.ins) {
      wide.run(panel, m + channel_offset(k, job.m.block), v, ahead);
    }
    if (k == job.outs) continue;
    narrow.run(panel, m + channel_offset(k, job.m.block), v, ahead);
  }
}

/// Tiles that pass by at a time: those of 16 input and two vectors of output channels fit L1.
constexpr int64_t kRun = 128;

/// R input channels by V vectors of output channels.
template <class T>
struct Strip {
  int64_t tiles, row, y_block;
  bool accumulate;
};

template <class T, int V, int R>
[[gnu::noinline]] void weight_tile(const Strip<T>& s, T* du, const T* v, const T* y) {
  Vec<T> acc[R][V];
  clear<T, V, R>(acc);
  const int64_t second = lane_offset<T>(V - 1, s.y_block), tiles = s.tiles, row = s.row;
#pragma GCC unroll 2
  for (int64_t t = 0; t < tiles; ++t, v += kWinogradBlock, y += kWinogradBlock) {
    Vec<T> b[V];
    b[0] = load(y);
    if constexpr (V == 2) b[1] = load(y + second);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec<T> a = broadcast(v[r]);
#pragma GCC unroll 2
      for (int j = 0; j < V; ++j) acc[r][j] += a * b[j];
    }
  }
  if (s.accumulate) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int j = 0; j < V; ++j) acc[r][j] += load(du + r * row + j * kLanes<T>);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int j = 0; j < V; ++j) store(du + r * row + j * kLanes<T>, acc[r][j]);
  }
}

/// A block of 16 input channels.
template <class T, int V>
void weight_block(const Strip<T>& s, T* du, const T* v, const T* y) {
  if constexpr (kRegisters == 32 && V == 1) {
    weight_tile<T, 1, 16>(s, du, v, y);
  } else if constexpr (kRegisters == 32) {
    weight_tile<T, 2, 8>(s, du, v, y);
    weight_tile<T, 2, 8>(s, du + 8 * s.row, v + 8, y);
  } else {
    weight_tile<T, V, 6>(s, du, v, y);
    weight_tile<T, V, 5>(s, du + 6 * s.row, v + 6, y);
    weight_tile<T, V, 5>(s, du + 11 * s.row, v + 11, y);
  }
}

template <class T>
void run_weight_products(const WinogradWeightProductJob<T>& job) {
  constexpr int64_t kL = kLanes<T>;
  const int64_t blocks = job.ins / kWinogradBlock;
  const int64_t calls = kWinogradPoints * blocks * ((job.tiles + kRun - 1) / kRun);
  Ahead ahead[3] = {Ahead(job.ahead[0], calls), Ahead(job.ahead[1], calls), Ahead(job.ahead[2], calls)};
  for (int64_t point = 0; point < kWinogradPoints; ++point) {
    for (int64_t first = 0; first < job.tiles; first += kRun) {
      const int64_t tiles = job.tiles - first < kRun ? job.tiles - first : kRun;
      const Strip<T> strip{tiles, job.row, job.y.block, job.accumulate || first > 0};
      const T* y = job.y.data + point * job.y.point + first * kWinogradBlock;
      for (int64_t b = 0; b < blocks; ++b) {
        for (Ahead& a : ahead) a.advance();
        T* du = job.du + point * job.point + b * kWinogradBlock * job.row;
        const T* v = job.v.data + point * job.v.point + b * job.v.block + first * kWinogradBlock;
        int64_t k = 0;
        for (; job.outs - k > kL; k += 2 * kL) {
          weight_block<T, 2>(strip, du + k, v, y + channel_offset(k, job.y.block));
        }
        if (k < job.outs) weight_block<T, 1>(strip, du + k, v, y + channel_offset(k, job.y.block));
      }
    }
  }
}

}  // namespace

void winograd_product_f32(const WinogradProductJob<float>& job) {
  run_products(job);
}
void winograd_product_f64(const WinogradProductJob<double>& job) {
  run_products(job);
}
void winograd_weight_product_f32(const WinogradWeightProductJob<float>& job) {
  run_weight_products(job);
}
void winograd_weight_product_f64(const WinogradWeightProductJob<double>& job) {
  run_weight_products(job);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
