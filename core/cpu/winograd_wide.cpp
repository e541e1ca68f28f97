#include "core/cpu/winograd_wide.h"

#include <algorithm>

namespace lathe::cpu {
namespace {

constexpr int64_t kGroupTiles = 128;                 // their products with 32 channels fit L2
constexpr int64_t kSlice = 32;                       // output channels of a task
constexpr int64_t kPiece = 64;                       // input channels whose weights are transformed at a time
constexpr int64_t kWeightBytes = int64_t{16} << 20;  // of a group's transforms for dw
constexpr int64_t kGradientIns = 64, kGradientOuts = 32;  // most of a task: 288 KiB of dU
constexpr int64_t kTasks = 8;                             // wanted at least

/// Transforms a group of tiles, B^T d B or A d A^T.
template <class T>
void transform_group(const WinogradGroups& groups, int64_t group, const WinogradSource<T>& source,
                     int64_t lead, const WinogradPlanes<T>& patches, const WinogradPlanes<T>& outputs) {
  const int64_t first = group * groups.strips;
  const int64_t strips = std::min(groups.strips, groups.images * groups.rows - first);
  parallel_for(strips, std::max<int64_t>(strips / 32, 1), [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch memory;
    WinogradInputJob<T> job;
    job.source = source;
    job.lead = lead;
    job.ring = memory.take<T>(winograd_ring(groups.columns));
    groups.for_each_box(first + lo, first + hi, [&](const WinogradBox& box, int64_t tile) {
      job.box = box;
      job.patches = patches;
      job.outputs = outputs;
      const int64_t at = (lo * groups.columns + tile) * kWinogradBlock;
      WinogradAhead ahead;
      const int64_t next =
          std::min(first + lo + tile / groups.columns + box.rows, groups.images * groups.rows - 1);
      ahead.add(source, {{next / groups.rows, 1, next % groups.rows, box.rows, 0, groups.columns}}, lead);
      ahead.take(job.ahead);
      if (patches.data != nullptr) job.patches.data += at;
      if (outputs.data != nullptr) job.outputs.data += at;
      winograd_input(job);
    });
  });
}

/// Output channels [lo, hi) of a group: the sum over pieces of the input channels, then the outputs.
template <class T>
void run_slice(const WinogradPass& pass, const WinogradGroups& groups, int64_t group,
               const WinogradPlanes<T>& v, WinogradWeightsJob<T> weights, WinogradOutputJob<T> out,
               double* part) {
  thread_local ConvScratch memory;
  const int64_t outs = weights.outs, lo = weights.out, first = group * groups.strips;
  const int64_t last = std::min(first + groups.strips, groups.images * groups.rows);
  const int64_t u_size = kWinogradPoints * winograd_weights_point(kPiece * outs);
  const int64_t m_size = winograd_planes_size(outs, groups.tiles());
  T* u = memory.take<T>(u_size + m_size + 3 * pass.outs);
  const WinogradPlanes<T> m = winograd_planes(u + u_size, outs, groups.tiles());
  weights.u = u;
  WinogradProductJob<T> product;
  product.m = m;
  product.v = as_const(v);
  product.u = u;
  product.tiles = (last - first) * groups.columns;
  product.outs = outs;
  for (int64_t in = 0; in < pass.ins; in += kPiece) {
    weights.in = in;
    weights.ins = product.ins = std::min(kPiece, pass.ins - in);
    winograd_weights(weights);
    product.accumulate = in > 0;
    winograd_product(product);
    product.v.data += kPiece / kWinogradBlock * v.block;
  }
  out.channel = lo;
  out.channels = outs;
  out.sums = part != nullptr ? u + u_size + m_size : nullptr;
  out.first = true;
  groups.for_each_box(first, last, [&](const WinogradBox& box, int64_t tile) {
    out.box = box;
    out.products = as_const(m);
    out.products.data += tile * kWinogradBlock;
    winograd_output(out);
    out.first = false;
  });
  if (part == nullptr) return;
  winograd_part(part, out.sums, pass.outs, {lo, lo + outs}, groups.group_pixels(group),
                out.mask.x == nullptr);
}

}  // namespace

WinogradGroups::WinogradGroups(const WinogradTiles& all, int64_t most_tiles) : WinogradTiles(all) {
  const int64_t count = images * rows, most = std::max<int64_t>(most_tiles / columns, 1);
  strips = chunk_count(count, chunk_count(count, most));
}

void WinogradGroups::for_each_box(int64_t lo, int64_t hi,
                                  FunctionRef<void(const WinogradBox&, int64_t)> fn) const {
  for (int64_t strip = lo; strip < hi;) {
    const int64_t row = strip % rows, count = std::min(rows - row, hi - strip);
    fn({{strip / rows, 1, row, count, 0, columns}}, (strip - lo) * columns);
    strip += count;
  }
}

int64_t WinogradGroups::group_pixels(int64_t group) const {
  int64_t sum = 0;
  const int64_t first = group * strips;
  for_each_box(first, std::min(first + strips, images * rows),
               [&](const WinogradBox& box, int64_t) { sum += pixels(box); });
  return sum;
}

WinogradGroups winograd_wide_groups(const ConvShape& s, bool forward) {
  return {{s.n, forward ? s.oh : s.h, forward ? s.ow : s.w}, kGroupTiles};
}

template <class T>
void winograd_wide(const ConvShape& s, const WinogradPass& pass, const WinogradGroups& groups,
                   const WinogradSource<T>& source, const T* w, const WinogradOutputJob<T>& out,
                   double* parts) {
  thread_local ConvScratch memory;
  const WinogradPlanes<T> v = winograd_planes(memory.take<T>(winograd_planes_size(pass.ins, groups.tiles())),
                                              pass.ins, groups.tiles());
  for (int64_t group = 0; group < groups.count(); ++group) {
    transform_group(groups, group, source, pass.lead, v, {});
    parallel_for(pass.outs, kSlice, [&](int64_t lo, int64_t hi) {
      WinogradWeightsJob<T> weights;
      weights.w = w;
      weights.c = s.c;
      weights.out = lo;
      weights.outs = hi - lo;
      weights.rotated = !pass.forward;
      double* part = parts != nullptr ? parts + group * 2 * pass.outs : nullptr;
      run_slice(pass, groups, group, v, weights, out, part);
    });
  }
}

bool winograd_wide_weight_serves(const ConvShape& s, size_t element) {
  constexpr int64_t kAlways = 128, kOneGroup = 64;  // channels
  const int64_t tile_bytes = kWinogradPoints * (s.c + s.k) * static_cast<int64_t>(element);
  const int64_t tiles = s.n * chunk_count(s.oh, kWinogradTile) * chunk_count(s.ow, kWinogradTile);
  return s.c * s.k >= kAlways * kAlways ||
         (s.c * s.k >= kOneGroup * kOneGroup && tiles * tile_bytes <= kWeightBytes);
}

template <class T>
void winograd_wide_weight(const ConvShape& s, T* dw, const WinogradSource<T>& x,
                          const WinogradSource<T>& dy) {
  thread_local ConvScratch memory;
  const int64_t tile_bytes = kWinogradPoints * (s.c + s.k) * static_cast<int64_t>(sizeof(T));
  const WinogradGroups groups({s.n, s.oh, s.ow}, kWeightBytes / tile_bytes);
  const int64_t v_size = winograd_planes_size(s.c, groups.tiles());
  T* at = memory.take<T>(v_size + winograd_planes_size(s.k, groups.tiles()));
  const WinogradPlanes<T> v = winograd_planes(at, s.c, groups.tiles());
  const WinogradPlanes<T> y = winograd_planes(at + v_size, s.k, groups.tiles());
  const int64_t across = chunk_count(s.k, kGradientOuts);
  int64_t ins = kGradientIns;
  while (ins > kWinogradBlock && chunk_count(s.c, ins) * across < kTasks) ins /= 2;
  for (int64_t group = 0; group < groups.count(); ++group) {
    transform_group(groups, group, x, s.geometry.pad_h, v, {});
    transform_group(groups, group, dy, 0, {}, y);
    const int64_t strips = std::min(groups.strips, groups.images * groups.rows - group * groups.strips);
    parallel_for(chunk_count(s.c, ins) * across, 1, [&](int64_t task, int64_t) {
      thread_local ConvScratch piece;
      WinogradWeightGradientJob<T> gradient;
      gradient.dw = dw;
      gradient.c = s.c;
      gradient.in = task / across * ins;
      gradient.ins = std::min(ins, s.c - gradient.in);
      gradient.out = task % across * kGradientOuts;
      gradient.outs = std::min(kGradientOuts, s.k - gradient.out);
      gradient.accumulate = group > 0;
      WinogradWeightProductJob<T> product;
      product.row = gradient.row = gradient.outs;
      product.point = gradient.point = winograd_weights_point(gradient.ins * gradient.outs);
      product.du = piece.take<T>(kWinogradPoints * product.point);
      gradient.du = product.du;
      product.v = as_const(v);
      product.v.data += gradient.in / kWinogradBlock * v.block;
      product.y = as_const(y);
      product.y.data += gradient.out / kWinogradBlock * y.block;
      product.tiles = strips * groups.columns;
      product.ins = gradient.ins;
      product.outs = gradient.outs;
      winograd_weight_product(product);
      winograd_weight_gradient(gradient);
    });
  }
}

template void winograd_wide(const ConvShape&, const WinogradPass&, const WinogradGroups&,
                            const WinogradSource<float>&, const float*, const WinogradOutputJob<float>&,
                            double*);
template void winograd_wide(const ConvShape&, const WinogradPass&, const WinogradGroups&,
                            const WinogradSource<double>&, const double*, const WinogradOutputJob<double>&,
                            double*);
template void winograd_wide_weight(const ConvShape&, float*, const WinogradSource<float>&,
                                   const WinogradSource<float>&);
template void winograd_wide_weight(const ConvShape&, double*, const WinogradSource<double>&,
                                   const WinogradSource<double>&);

}  // namespace lathe::cpu
