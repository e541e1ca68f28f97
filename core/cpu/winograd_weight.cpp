// Backward-weight, and backward of all in one pass over dy, see Note [Winograd convolution].

#include "core/cpu/conv_run.h"
#include "core/cpu/norm_parts.h"
#include "core/cpu/winograd.h"
#include "core/cpu/winograd_wide.h"

namespace lathe::cpu {
namespace {

constexpr int64_t kPartBytes = int64_t{8} << 20;  // of all partial sums
constexpr int64_t kMostParts = 16;
constexpr int64_t kWide = 64;       // channels from which on tasks are ranges of channels
constexpr int64_t kPartTiles = 64;  // at least, or adding the parts would cost too much

/// The convolution's backward: dw, and dx where `data` is given, a pass from dy with its weights.
template <class T>
struct Backward {
  const ConvShape& shape;
  WinogradSource<T> x, dy;
  const WinogradPass* data = nullptr;
  const T* u = nullptr;
  WinogradOutputJob<T> out = {};
  double* sums = nullptr;  ///< 2 c values per window, or null

  int64_t lead() const { return shape.geometry.pad_h; }
  WinogradTiling tiling() const {
    int64_t channels = shape.c + shape.k;
    if (data != nullptr) channels += shape.k + (data->in_place ? 0 : data->slice);
    return {{shape.n, shape.oh, shape.ow}, winograd_block_tiles(channels, sizeof(T))};
  }
};

/// Scratch of a block: transformed patches of x and dy, transformed dy tiles, products.
template <class T>
struct Memory {
  WinogradPlanes<T> x, y, d, m;
  T *x_ring, *y_ring, *sums;
  bool keep;

  Memory(const Backward<T>& o, const WinogradTiling& tiling) {
    thread_local ConvScratch scratch;
    const int64_t tiles = tiling.most_tiles(), c = o.shape.c, k = o.shape.k;
    keep = winograd_keeps<T>(c + k, tiling.window_columns);
    const int64_t ring = winograd_ring(tiling.window_columns);
    const int64_t x_rings = ring * (keep ? c / kWinogradBlock : 1),
                  y_rings = ring * (keep ? k / kWinogradBlock : 1);
    const int64_t x_size = winograd_planes_size(c, tiles), y_size = winograd_planes_size(k, tiles);
    const int64_t d_size = o.data != nullptr ? y_size : 0;
    const int64_t m_size = d_size > 0 && !o.data->in_place ? winograd_planes_size(o.data->slice, tiles) : 0;
    T* at = scratch.take<T>(x_size + y_size + d_size + m_size + x_rings + y_rings + 2 * c);
    x = winograd_planes(at, c, tiles);
    y = winograd_planes(at += x_size, k, tiles);
    d = winograd_planes(at += y_size, k, tiles);
    m = m_size > 0 ? winograd_planes(at + d_size, o.data->slice, tiles) : d;
    x_ring = at + d_size + m_size;
    y_ring = x_ring + x_rings;
    sums = y_ring + y_rings;
  }
};

/// A block: its share of du, and its pixels of dx. The next one to come is `next`.
template <class T>
void run_block(const Backward<T>& o, const Memory<T>& memory, const WinogradBox& box, bool fresh,
               const WinogradBox& next, WinogradWeightProductJob<T>& weights, WinogradOutputJob<T>& out) {
  WinogradInputJob<T> in;
  in.box = box;
  in.keep = memory.keep;
  in.fresh = fresh;
  in.source = o.x;
  in.lead = o.lead();
  in.ring = memory.x_ring;
  in.patches = memory.x;
  winograd_input(in);
  in.source = o.dy;
  in.lead = in.inner = o.data != nullptr ? o.data->lead : 0;
  in.ring = memory.y_ring;
  in.patches = o.data != nullptr ? memory.d : WinogradPlanes<T>{};
  in.outputs = memory.y;
  winograd_input(in);
  WinogradAhead ahead;
  if (o.data != nullptr) ahead.add(out, box, o.x.affine.x);
  ahead.add(o.x, next, o.lead());
  ahead.add(o.dy, next, in.lead);
  ahead.take(weights.ahead);
  weights.tiles = box.tiles();
  winograd_weight_product(weights);
  weights.accumulate = true;
  if (o.data == nullptr) return;
  out.box = box;
  out.first = fresh;
  winograd_outputs(*o.data, memory.d, memory.m, o.u, out, ahead);
}

/// dw from the sum of `parts` gradients du.
template <class T>
void sum_parts(const ConvShape& s, T* dw, T* du, int64_t parts) {
  const int64_t point = s.c * s.k, size = kWinogradPoints * point;
  if (parts > 1) {
    parallel_for(size, chunk_count(size, 32), [&](int64_t lo, int64_t hi) {
      for (int64_t part = 1; part < parts; ++part) {
        const T* from = du + part * size;
        for (int64_t i = lo; i < hi; ++i) du[i] += from[i];
      }
    });
  }
  parallel_for(s.c, kWinogradBlock, [&](int64_t lo, int64_t hi) {
    WinogradWeightGradientJob<T> job;
    job.dw = dw;
    job.du = du + lo * s.k;
    job.point = point;
    job.row = s.k;
    job.c = s.c;
    job.in = lo;
    job.ins = hi - lo;
    job.outs = s.k;
    winograd_weight_gradient(job);
  });
}

/// Partial sums over fixed ranges of windows.
template <class T>
void run_parts(const Backward<T>& o, const WinogradTiling& tiling, T* dw) {
  const ConvShape& s = o.shape;
  const int64_t windows = tiling.windows(), size = kWinogradPoints * s.c * s.k;
  const int64_t most = std::min({kPartBytes / (size * static_cast<int64_t>(sizeof(T))), kMostParts,
                                 s.n * tiling.rows * tiling.columns / kPartTiles});
  const int64_t per_part = chunk_count(windows, std::clamp<int64_t>(most, 1, windows));
  const int64_t parts = chunk_count(windows, per_part);
  thread_local ConvScratch partial_sums;
  T* du = partial_sums.take<T>(parts * size);
  parallel_for(windows, per_part, [&](int64_t lo, int64_t hi) {
    const Memory<T> memory(o, tiling);
    WinogradWeightProductJob<T> weights;
    weights.du = du + lo / per_part * size;
    weights.point = s.c * s.k;
    weights.row = s.k;
    weights.v = as_const(memory.x);
    weights.y = as_const(memory.y);
    weights.ins = s.c;
    weights.outs = s.k;
    WinogradOutputJob<T> out = o.out;
    out.sums = o.sums != nullptr ? memory.sums : nullptr;
    for (int64_t n = lo; n < hi; ++n) {
      const WinogradBox window = tiling.window(n);
      for (int64_t b = 0; b < tiling.blocks(window); ++b) {
        const WinogradBox next = tiling.block_after(n, b, conv_next_window(n, hi, per_part));
        run_block(o, memory, tiling.block(window, b), b == 0, next, weights, out);
      }
      if (o.sums != nullptr) winograd_part(o.sums + n * 2 * s.c, memory.sums, s.c, {0, s.c}, 0, false);
    }
  });
  sum_parts(s, dw, du, parts);
}

/// Whether one pass over dy serves dw and dx: the more channels, the less the shared work counts beside the
/// products, which then need the caches for themselves.
bool joins(const ConvShape& s) {
  return s.geometry.pad_h == 1 && s.c <= 32 && s.k <= 32;
}

}  // namespace

template <class T>
void winograd_backward(const ConvShape& s, T* dw, ConvInputGradient<T>& gradient, const ConvOperand<T>& dy,
                       const ConvOperand<T>& x, const T* w) {
  if (dw == nullptr) return winograd_backward_data(s, gradient, dy, w);
  Backward<T> o{s, winograd_source(x, s.h, s.w, s.c), winograd_source(dy, s.oh, s.ow, s.k)};
  if (gradient.dx == nullptr || !joins(s)) {
    if (gradient.dx != nullptr) winograd_backward_data(s, gradient, dy, w);
    if (winograd_wide_weight_serves(s, sizeof(T))) return winograd_wide_weight(s, dw, o.x, o.dy);
    return run_parts(o, o.tiling(), dw);
  }
  const WinogradPass pass = winograd_pass<T>(s, false);
  o.data = &pass;
  o.u = winograd_weights_of(s, pass, w);
  o.out = winograd_input_gradient(s, gradient);
  const WinogradTiling tiling = o.tiling();
  Tensor scratch;
  if (gradient.mask.x != nullptr) {
    scratch = Tensor::empty({tiling.windows(), 2 * s.c}, DType::F64);
    o.sums = scratch.mut<double>();
  }
  run_parts(o, tiling, dw);
  if (o.sums != nullptr) gradient.sums = ChannelParts::total_of(o.sums, tiling.windows(), 2 * s.c);
}

template void winograd_backward(const ConvShape&, float*, ConvInputGradient<float>&,
                                const ConvOperand<float>&, const ConvOperand<float>&, const float*);
template void winograd_backward(const ConvShape&, double*, ConvInputGradient<double>&,
                                const ConvOperand<double>&, const ConvOperand<double>&, const double*);

}  // namespace lathe::cpu
