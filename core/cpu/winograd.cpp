// Forward and backward-data, see Note [Winograd convolution].

#include "core/cpu/winograd.h"

#include "core/cpu/conv_run.h"
#include "core/cpu/norm_parts.h"
#include "core/cpu/winograd_wide.h"
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
  return {{s.n, out.height, out.width}, winograd_block_tiles(channels, sizeof(T))};
}

/// `parts`: 2 outs values per window, or null.
template <class T>
void run_windows(const WinogradPass& pass, const WinogradTiling& tiling, const WinogradSource<T>& source,
                 const T* u, const WinogradOutputJob<T>& out, double* parts) {
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
      winograd_part(parts + n * 2 * pass.outs, memory.sums, pass.outs, {0, pass.outs}, tiling.pixels(window),
                    job.mask.x == nullptr);
    }
  });
}

/// Sums of windows or groups of tiles, in their order: 2 outs values each, and over how many pixels.
struct Parts {
  Tensor sums;
  std::vector<int64_t> pixels;

  Parts(bool wanted, int64_t count, int64_t channels) {
    if (!wanted) return;
    sums = Tensor::empty({count, 2 * channels}, DType::F64);
    pixels.resize(static_cast<size_t>(count));
  }
  double* data() { return sums.defined() ? sums.mut<double>() : nullptr; }
};

/// Whether the transformed weights are too many for the caches they are read from.
template <class T>
bool is_wide(const ConvShape& s) {
  constexpr int64_t kMost = int64_t{6} << 20;
  return kWinogradPoints * s.c * s.k * static_cast<int64_t>(sizeof(T)) > kMost;
}

template <class T>
Parts run(const ConvShape& s, bool forward, const WinogradSource<T>& source, const T* w,
          const WinogradOutputJob<T>& out, bool sums) {
  const WinogradPass pass = winograd_pass<T>(s, forward);
  if (is_wide<T>(s)) {
    const WinogradGroups groups = winograd_wide_groups(s, forward);
    Parts parts(sums, groups.count(), pass.outs);
    for (size_t n = 0; n < parts.pixels.size(); ++n)
      parts.pixels[n] = groups.group_pixels(static_cast<int64_t>(n));
    winograd_wide(s, pass, groups, source, w, out, parts.data());
    return parts;
  }
  const WinogradTiling tiling = tiling_of(pass, s, out);
  Parts parts(sums, tiling.windows(), pass.outs);
  for (size_t n = 0; n < parts.pixels.size(); ++n)
    parts.pixels[n] = tiling.pixels(tiling.window(static_cast<int64_t>(n)));
  run_windows(pass, tiling, source, winograd_weights_of(s, pass, w), out, parts.data());
  return parts;
}

}  // namespace

bool winograd_serves(const ConvShape& s) {
  const Conv2dGeometry& g = s.geometry;
  const bool form = s.kh == 3 && s.kw == 3 && g.stride_h == 1 && g.stride_w == 1 && g.dilation_h == 1 &&
                    g.dilation_w == 1 && g.groups == 1 && g.pad_h == g.pad_w && g.pad_h <= 2;
  if (!form || s.c % kWinogradBlock != 0 || s.k % kWinogradBlock != 0) return false;
  // 5 x 5 outputs take four tiles, and what is a quarter of the products is no less than the sum itself.
  const int64_t tiles = chunk_count(s.oh, kWinogradTile) * chunk_count(s.ow, kWinogradTile);
  constexpr int64_t kLeastTiles = 4;
  return s.n * tiles >= kLeastTiles && 100 * s.oh * s.ow >= 45 * tiles * kWinogradTile * kWinogradTile;
}

bool winograd_chosen(const ConvShape& s) {
  return math_mode().winograd && winograd_serves(s);
}

template <class T>
void winograd_forward(const ConvShape& s, T* y, const ConvOperand<T>& x, const T* w, const T* bias,
                      std::vector<double>* moments) {
  WinogradOutputJob<T> out;
  out.y = y;
  out.height = s.oh;
  out.width = s.ow;
  out.pixel = s.k;
  out.bias = bias;
  const Parts parts = run(s, true, winograd_source(x, s.h, s.w, s.c), w, out, moments != nullptr);
  if (moments == nullptr) return;
  const double* part = parts.sums.ptr<double>();
  moments->assign(part, part + 2 * s.k);
  int64_t rows = parts.pixels[0];
  for (size_t n = 1; n < parts.pixels.size(); ++n) {
    part += 2 * s.k;
    combine_moments(moments->data(), rows, part, parts.pixels[n], s.k);
    rows += parts.pixels[n];
  }
}

template <class T>
void winograd_backward_data(const ConvShape& s, ConvInputGradient<T>& gradient, const ConvOperand<T>& dy,
                            const T* w) {
  const Parts parts = run(s, false, winograd_source(dy, s.oh, s.ow, s.k), w,
                          winograd_input_gradient(s, gradient), gradient.mask.x != nullptr);
  if (!parts.sums.defined()) return;
  gradient.sums =
      ChannelParts::total_of(parts.sums.ptr<double>(), static_cast<int64_t>(parts.pixels.size()), 2 * s.c);
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
