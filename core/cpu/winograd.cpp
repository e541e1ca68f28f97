// Forward and backward-data, see Note [Winograd convolution].

#include "core/cpu/winograd.h"

#include "core/cpu/conv_run.h"
#include "core/cpu/conv_scratch.h"
#include "core/cpu/norm_parts.h"
#include "core/cpu/winograd_run.h"
#include "core/math_mode.h"

namespace lathe::cpu {
namespace {

/// One product of the pass: forward from x to y, or backward-data from dy to dx.
struct Pass {
  WinogradTiling tiling;
  int64_t ins = 0, outs = 0, lead = 0;
  int64_t slice = 0;      ///< output channels that are multiplied and transformed together
  bool in_place = false;  ///< the products overwrite the transformed input
};

constexpr int64_t kKeptRing = 32 * 1024;  // bytes of the rings of all blocks of channels, if they are kept

template <class T>
Pass plan_pass(const ConvShape& s, bool forward) {
  const int64_t ins = forward ? s.c : s.k, outs = forward ? s.k : s.c;
  const int64_t height = forward ? s.oh : s.h, width = forward ? s.ow : s.w;
  const int64_t slice = outs <= 64 ? outs : 32;
  const bool in_place = ins == outs && outs <= conv_tile_lanes<T>();
  const int64_t channels = in_place ? ins : ins + slice;
  const int64_t tiles = winograd_block_tiles(channels, 0, sizeof(T));
  return {WinogradTiling(s.n, height, width, tiles),         ins,   outs,
          forward ? s.geometry.pad_h : 2 - s.geometry.pad_h, slice, in_place};
}

/// U of all channels, slice after slice.
template <class T>
const T* transform_weights(const ConvShape& s, const Pass& pass, const T* w, bool forward) {
  thread_local ConvScratch memory;
  T* u = memory.take<T>(kWinogradPoints * pass.ins * pass.outs);
  parallel_for(pass.outs, pass.slice, [&](int64_t lo, int64_t hi) {
    WinogradWeightsJob<T> job;
    job.u = u + kWinogradPoints * pass.ins * lo;
    job.w = w;
    job.c = s.c;
    job.ins = pass.ins;
    job.out = lo;
    job.outs = hi - lo;
    job.rotated = !forward;
    winograd_weights(job);
  });
  return u;
}

/// Scratch of a block.
template <class T>
struct Memory {
  WinogradPlanes<T> v, m;
  T* ring;
  T* sums;
  bool keep;

  explicit Memory(const Pass& pass) {
    thread_local ConvScratch scratch;
    const int64_t tiles = pass.tiling.most_tiles();
    const int64_t ring_size = winograd_ring(pass.tiling.window_columns);
    const int64_t rings = pass.ins / kWinogradBlock * ring_size;
    keep = rings * static_cast<int64_t>(sizeof(T)) <= kKeptRing;
    const int64_t v_size = winograd_planes_size(pass.ins, tiles);
    const int64_t m_size = pass.in_place ? 0 : winograd_planes_size(pass.slice, tiles);
    T* at = scratch.take<T>(v_size + m_size + (keep ? rings : ring_size) + 3 * pass.outs);
    v = winograd_planes(at, pass.ins, tiles);
    m = pass.in_place ? v : winograd_planes(at + v_size, pass.slice, tiles);
    ring = at + v_size + m_size;
    sums = ring + (keep ? rings : ring_size);
  }
};

/// A block of the window whose next one is `next`.
template <class T>
void run_block(const Pass& pass, const WinogradBox& box, const WinogradBox& next, const Memory<T>& memory,
               const WinogradSource<T>& source, const T* u, WinogradOutputJob<T> out, bool fresh) {
  WinogradInputJob<T> in;
  in.source = source;
  in.box = box;
  in.lead = pass.lead;
  in.ring = memory.ring;
  in.keep = memory.keep;
  in.fresh = fresh;
  in.patches = memory.v;
  winograd_input(in);
  WinogradProductJob<T> product;
  product.m = memory.m;
  product.v = as_const(memory.v);
  product.tiles = box.tiles();
  product.ins = pass.ins;
  winograd_ahead(product.ahead, source, next, pass.lead);
  out.products = as_const(memory.m);
  out.box = box;
  out.first = fresh;
  for (int64_t k = 0; k < pass.outs; k += pass.slice) {
    product.u = u + kWinogradPoints * pass.ins * k;
    product.outs = out.channels = std::min(pass.slice, pass.outs - k);
    winograd_product(product);
    for (ConvAhead& ahead : product.ahead) ahead = {};
    out.channel = k;
    winograd_output(out);
  }
}

/// What a window's sums become, in double: mean and squared distances, or the two sums as they are.
template <class T>
void write_part(double* part, const T* sums, int64_t channels, int64_t pixels, bool moments) {
  for (int64_t j = 0; j < channels; ++j) {
    const auto sum = static_cast<double>(sums[j]), second = static_cast<double>(sums[channels + j]);
    part[j] = sum;
    part[channels + j] = second;
    if (!moments) continue;
    const double shift = sum / static_cast<double>(pixels), spread = second - shift * sum;
    part[j] = static_cast<double>(sums[2 * channels + j]) + shift;
    part[channels + j] = spread < 0 ? 0 : spread;  // NaN stays
  }
}

/// `parts`: 2 outs values per window, or null.
template <class T>
void run(const Pass& pass, const WinogradSource<T>& source, const T* u, const WinogradOutputJob<T>& out,
         double* parts) {
  const WinogradTiling& tiling = pass.tiling;
  const int64_t windows = tiling.windows(), grain = std::max<int64_t>(windows / 32, 1);
  parallel_for(windows, grain, [&](int64_t lo, int64_t hi) {
    const Memory<T> memory(pass);
    WinogradOutputJob<T> job = out;
    job.sums = parts != nullptr ? memory.sums : nullptr;
    for (int64_t n = lo; n < hi; ++n) {
      const WinogradBox window = tiling.window(n);
      const WinogradBox after = tiling.window(std::min(conv_next_window(n, hi, grain), windows - 1));
      const int64_t blocks = tiling.blocks(window);
      for (int64_t b = 0; b < blocks; ++b) {
        const WinogradBox next = tiling.block(b + 1 < blocks ? window : after, b + 1 < blocks ? b + 1 : 0);
        run_block(pass, tiling.block(window, b), next, memory, source, u, job, b == 0);
      }
      if (parts == nullptr) continue;
      write_part(parts + n * 2 * pass.outs, memory.sums, pass.outs, tiling.pixels(window),
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
  const Pass pass = plan_pass<T>(s, true);
  const WinogradTiling& tiling = pass.tiling;
  WinogradOutputJob<T> out;
  out.y = y;
  out.height = s.oh;
  out.width = s.ow;
  out.pixel = s.k;
  out.bias = bias;
  Tensor scratch;
  double* parts = nullptr;
  if (moments != nullptr) {
    scratch = Tensor::empty({tiling.windows(), 2 * s.k}, DType::F64);
    parts = scratch.mut<double>();
  }
  run(pass, winograd_source(x, s.h, s.w, s.c), transform_weights(s, pass, w, true), out, parts);
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
  const Pass pass = plan_pass<T>(s, false);
  WinogradOutputJob<T> out;
  out.y = gradient.dx;
  out.height = s.h;
  out.width = s.w;
  out.pixel = s.c;
  out.residual_dy = gradient.residual_dy;
  out.residual_y = gradient.residual_y;
  out.mask = gradient.mask;
  Tensor scratch;
  double* parts = nullptr;
  if (gradient.mask.x != nullptr) {
    scratch = Tensor::empty({pass.tiling.windows(), 2 * s.c}, DType::F64);
    parts = scratch.mut<double>();
  }
  run(pass, winograd_source(dy, s.oh, s.ow, s.k), transform_weights(s, pass, w, false), out, parts);
  if (parts != nullptr) gradient.sums = ChannelParts::total_of(parts, pass.tiling.windows(), 2 * s.c);
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
