// Backward-weight, see Note [Winograd convolution].

#include "core/cpu/conv_scratch.h"
#include "core/cpu/winograd.h"
#include "core/cpu/winograd_run.h"

namespace lathe::cpu {
namespace {

constexpr int64_t kPartBytes = int64_t{8} << 20;  // of all partial sums
constexpr int64_t kMostParts = 32;
constexpr int64_t kLeastParts = 8;

template <class T>
struct Operands {
  WinogradSource<T> x, dy;
  int64_t lead;
};

template <class T>
Operands<T> operands_of(const ConvShape& s, const ConvOperand<T>& dy, const ConvOperand<T>& x) {
  return {winograd_source(x, s.h, s.w, s.c), winograd_source(dy, s.oh, s.ow, s.k), s.geometry.pad_h};
}

/// Transforms the box's tiles of x (V) and dy (Y).
template <class T>
void transform(const Operands<T>& o, const WinogradBox& box, T* ring, const WinogradPlanes<T>& v,
               const WinogradPlanes<T>& y) {
  WinogradInputJob<T> job;
  job.box = box;
  job.ring = ring;
  job.fresh = true;
  job.source = o.x;
  job.lead = o.lead;
  job.patches = v;
  winograd_input(job);
  job.source = o.dy;
  job.lead = 0;
  job.patches = {};
  job.outputs = y;
  winograd_input(job);
}

/// Partial sums over fixed ranges of windows.
template <class T>
void run_parts(const ConvShape& s, T* dw, const Operands<T>& o, int64_t most_parts) {
  const WinogradTiling tiling(s.n, s.oh, s.ow, winograd_block_tiles(s.c + s.k, 0, sizeof(T)));
  const int64_t windows = tiling.windows(), size = kWinogradPoints * s.c * s.k;
  const int64_t per_part = chunk_count(windows, std::min(windows, most_parts));
  const int64_t parts = chunk_count(windows, per_part);
  thread_local ConvScratch sums;
  T* du = sums.take<T>(parts * size);
  parallel_for(windows, per_part, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch scratch;
    const int64_t tiles = tiling.most_tiles();
    const int64_t v_size = winograd_planes_size(s.c, tiles), y_size = winograd_planes_size(s.k, tiles);
    T* at = scratch.take<T>(v_size + y_size + winograd_ring(tiling.window_columns));
    const WinogradPlanes<T> v = winograd_planes(at, s.c, tiles), y = winograd_planes(at + v_size, s.k, tiles);
    WinogradWeightProductJob<T> job;
    job.du = du + lo / per_part * size;
    job.point = s.c * s.k;
    job.row = s.k;
    job.v = as_const(v);
    job.y = as_const(y);
    job.ins = s.c;
    job.outs = s.k;
    for (int64_t n = lo; n < hi; ++n) {
      const WinogradBox window = tiling.window(n);
      for (int64_t b = 0; b < tiling.blocks(window); ++b) {
        const WinogradBox box = tiling.block(window, b);
        transform(o, box, at + v_size + y_size, v, y);
        job.tiles = box.tiles();
        winograd_weight_product(job);
        job.accumulate = true;
      }
    }
  });
  parallel_for(s.k, 32, [&](int64_t lo, int64_t hi) {
    WinogradWeightGradientJob<T> job;
    job.dw = dw;
    job.du = du + lo;
    job.parts = parts;
    job.part_step = size;
    job.point = s.c * s.k;
    job.row = s.k;
    job.c = job.ins = s.c;
    job.out = lo;
    job.outs = hi - lo;
    winograd_weight_gradient(job);
  });
}

}  // namespace

template <class T>
void winograd_backward_data(const ConvShape& s, ConvInputGradient<T>& gradient, const ConvOperand<T>& dy,
                            const T* w);

template <class T>
void winograd_backward(const ConvShape& s, T* dw, ConvInputGradient<T>& gradient, const ConvOperand<T>& dy,
                       const ConvOperand<T>& x, const T* w) {
  if (gradient.dx != nullptr) winograd_backward_data(s, gradient, dy, w);
  if (dw != nullptr) {
    const Operands<T> o = operands_of(s, dy, x);
    const int64_t size = kWinogradPoints * s.c * s.k * static_cast<int64_t>(sizeof(T));
    run_parts(s, dw, o, std::clamp<int64_t>(kPartBytes / size, 1, kMostParts));
  }
}

template void winograd_backward(const ConvShape&, float*, ConvInputGradient<float>&,
                                const ConvOperand<float>&, const ConvOperand<float>&, const float*);
template void winograd_backward(const ConvShape&, double*, ConvInputGradient<double>&,
                                const ConvOperand<double>&, const ConvOperand<double>&, const double*);

}  // namespace lathe::cpu
