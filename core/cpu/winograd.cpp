// Forward and backward-data, see Note [Winograd convolution].

#include "core/cpu/winograd.h"

#include "core/cpu/conv_run.h"
#include "core/cpu/norm_parts.h"
#include "core/cpu/winograd_run.h"
#include "core/math_mode.h"

namespace lathe::cpu {
namespace {

/// Scratch of a block.
template <class T>
struct Memory {
  WinogradPlanes<T> v, m;
  T *ring, *sums;
  bool keep;

  Memory(const WinogradPass& pass, const WinogradTiling& tiling) {
    thread_local ConvScratch scratch;
    const int64_t tiles = tiling.most_tiles();
    keep = winograd_keeps<T>(pass.ins, tiling.window_columns);
    const int64_t v_size = winograd_planes_size(pass.ins, tiles);
    const int64_t m_size = pass.in_place ? 0 : winograd_planes_size(pass.slice, tiles);
    const int64_t rings = winograd_ring(tiling.window_columns) * (keep ? pass.ins / kWinogradBlock : 1);
    T* at = scratch.take<T>(v_size + m_size + rings + 3 * pass.outs);
    v = winograd_planes(at, pass.ins, tiles);
    m = pass.in_place ? v : winograd_planes(at + v_size, pass.slice, tiles);
    ring = at + v_size + m_size;
    sums = ring + rings;
  }
};

template <class T>
WinogradTiling tiling_of(const WinogradPass& pass, const ConvShape& s, const WinogradOutputJob<T>& out) {
  const int64_t channels = pass.in_place ? pass.ins : pass.ins + pass.slice;
  return {s.n, out.height, out.width, winograd_block_tiles(channels, sizeof(T))};
}

/// `parts`: 2 outs values per window, or null.
template <class T>
void run(const WinogradPass& pass, const WinogradTiling& tiling, const WinogradSource<T>& source, const T* u,
         const WinogradOutputJob<T>& out, double* parts) {
  const int64_t windows = tiling.windows(), grain = tiling.grain();
  parallel_for(windows, grain, [&](int64_t lo, int64_t hi) {
    const Memory<T> memory(pass, tiling);
    WinogradInputJob<T> in;
    in.source = source;
    in.lead = pass.lead;
    in.ring = memory.ring;
    in.keep = memory.keep;
    in.patches = memory.v;
    WinogradOutputJob<T> job = out;
    job.sums = parts != nullptr ? memory.sums : nullptr;
    for (int64_t n = lo; n < hi; ++n) {
      const WinogradBox window = tiling.window(n);
      for (int64_t b = 0; b < tiling.blocks(window); ++b) {
        in.box = job.box = tiling.block(window, b);
        in.fresh = job.first = b == 0;
        winograd_input(in);
        WinogradAhead ahead;
        ahead.add(job, job.box);
        ahead.add(source, tiling.block_after(n, b, conv_next_window(n, hi, grain)), pass.lead);
        winograd_outputs(pass, memory.v, memory.m, u, job, ahead);
      }
      if (parts == nullptr) continue;
      winograd_part(parts + n * 2 * pass.outs, memory.sums, pass.outs, tiling.pixels(window),
                    job.mask.x == nullptr);
    }
  });
}

}  // namespace

bool winograd_serves(const ConvShape& s) {
  const Conv2dGeometry& g = s.geometry;
  const bool form = s.kh == 3 && s.kw == 3 && g.stride_h == 1 && g.stride_w == 1 && g.dilation_h == 1 &&
                    g.dilation_w == 1 && g.groups == 1 && g.pad_h == g.pad_w && g.pad_h <= 2;
  return form && s.c % kWinogradBlock == 0 && s.k % kWinogradBlock == 0 && s.n > 0 && s.oh >= kWinogradTile &&
         s.ow >= kWinogradTile;
}

bool winograd_chosen(const ConvShape& s) {
  return math_mode().winograd && winograd_serves(s);
}

template <class T>
void winograd_forward(const ConvShape& s, T* y, const ConvOperand<T>& x, const T* w, const T* bias,
                      std::vector<double>* moments) {
  const WinogradPass pass = winograd_pass<T>(s, true);
  WinogradOutputJob<T> out;
  out.y = y;
  out.height = s.oh;
  out.width = s.ow;
  out.pixel = s.k;
  out.bias = bias;
  const WinogradTiling tiling = tiling_of(pass, s, out);
  Tensor scratch;
  double* parts = nullptr;
  if (moments != nullptr) {
    scratch = Tensor::empty({tiling.windows(), 2 * s.k}, DType::F64);
    parts = scratch.mut<double>();
  }
  run(pass, tiling, winograd_source(x, s.h, s.w, s.c), winograd_weights_of(s, pass, w), out, parts);
  if (moments == nullptr) return;
  moments->assign(parts, parts + 2 * s.k);
  int64_t rows = tiling.pixels(tiling.window(0));
  for (int64_t n = 1; n < tiling.windows(); ++n) {
    const int64_t pixels = tiling.pixels(tiling.window(n));
    combine_moments(moments->data(), rows, parts + n * 2 * s.k, pixels, s.k);
    rows += pixels;
  }
}

template <class T>
void winograd_backward_data(const ConvShape& s, ConvInputGradient<T>& gradient, const ConvOperand<T>& dy,
                            const T* w) {
  const WinogradPass pass = winograd_pass<T>(s, false);
  const WinogradOutputJob<T> out = winograd_input_gradient(s, gradient);
  const WinogradTiling tiling = tiling_of(pass, s, out);
  Tensor scratch;
  double* parts = nullptr;
  if (gradient.mask.x != nullptr) {
    scratch = Tensor::empty({tiling.windows(), 2 * s.c}, DType::F64);
    parts = scratch.mut<double>();
  }
  run(pass, tiling, winograd_source(dy, s.oh, s.ow, s.k), winograd_weights_of(s, pass, w), out, parts);
  if (parts != nullptr) gradient.sums = ChannelParts::total_of(parts, tiling.windows(), 2 * s.c);
}

template void winograd_forward(const ConvShape&, float*, const ConvOperand<float>&, const float*,
                               const float*, std::vector<double>*);
template void winograd_forward(const ConvShape&, double*, const ConvOperand<double>&, const double*,
                               const double*, std::vector<double>*);
template void winograd_backward_data(const ConvShape&, ConvInputGradient<float>&, const ConvOperand<float>&,
                                     const float*);
template void winograd_backward_data(const ConvShape&, ConvInputGradient<double>&, const ConvOperand<double>&,
                                     const double*);

}  // namespace lathe::cpu
