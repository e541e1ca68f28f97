// Backward-weight, see Note [Convolution tiling].

#include <limits>

#include "core/cpu/conv_drive.h"
#include "core/cpu/conv_scratch.h"

namespace lathe::cpu {
namespace {

constexpr int64_t kPartBytes = int64_t{2} << 20;  // of all partial sums
constexpr int64_t kMostParts = 32;
constexpr int64_t kWork = 16;  // pieces of work wanted at least

/// How backward-weight is divided: partial sums over fixed ranges of the plan's windows; where the gradient
/// is too large for many of them, also over ranges of input blocks and tiles of outputs.
struct Division {
  int64_t parts = 1, windows = 1;  // windows of a part
  int64_t block_pieces = 1, tile_pieces = 1;
};

/// Ranges of blocks repeat the gathering of dy, ranges of tiles the copying of x: as little as can be of
/// both.
void divide_gradient(Division& d, const ConvPlan& plan, int64_t tiles, int64_t wanted) {
  int64_t least = std::numeric_limits<int64_t>::max();
  for (int64_t t = 1; t <= std::min(tiles, wanted); ++t) {
    const int64_t b = std::min(plan.blocks, chunk_count(wanted, t));
    const int64_t moved = t * plan.in_c + b * plan.out_c;
    if (b * t < std::min(wanted, tiles * plan.blocks) || moved >= least) continue;
    least = moved;
    d.block_pieces = b;
    d.tile_pieces = t;
  }
}

Division divide(const ConvPlan& plan, int64_t gradient_bytes, int64_t tiles) {
  Division d;
  const int64_t windows = plan.windows();
  const int64_t most = std::clamp<int64_t>(kPartBytes / std::max<int64_t>(gradient_bytes, 1), 1, kMostParts);
  d.windows = chunk_count(windows, std::min(windows, most));
  d.parts = chunk_count(windows, d.windows);
  if (d.parts < kWork && plan.layout != ConvPlan::Layout::Contiguous) {
    divide_gradient(d, plan, tiles, chunk_count(kWork, d.parts));
  }
  return d;
}

/// The runs of blocks [lo, hi): one run per block, see ConvUse.
template <class T>
void run_part(const ConvPlan& plan, const Division& d, int64_t piece, T* packed, const ConvOperand<T>& x,
              const T* dy) {
  thread_local ConvScratch memory;
  T* scratch = memory.take<T>(plan.scratch);
  const int64_t tiles = conv_tile_count<T>(plan.out_c);
  const ConvPhase& phase = plan.phases[0];
  const auto runs = static_cast<int64_t>(phase.runs.size());
  const int64_t part = piece / (d.block_pieces * d.tile_pieces);
  const int64_t block_piece = piece / d.tile_pieces % d.block_pieces;
  const int64_t tile_piece = piece % d.tile_pieces;
  ConvWeightJob<T> job;
  job.dw = packed + part * phase.reduction * conv_padded<T>(plan.out_c);
  job.reduction = plan.reduction_of(phase);
  job.run_lo = runs * block_piece / d.block_pieces;
  job.run_hi = runs * (block_piece + 1) / d.block_pieces;
  job.tile_lo = tiles * tile_piece / d.tile_pieces;
  job.tile_hi = tiles * (tile_piece + 1) / d.tile_pieces;
  const int64_t last = std::min(plan.windows(), (part + 1) * d.windows);
  for (int64_t n = part * d.windows; n < last; ++n) {
    const ConvWindow box = plan.window(n);
    job.x = conv_input(plan, box, scratch, x, job.run_lo, job.run_hi);
    job.lines = plan.lines_of(phase, box);
    job.dy = dy + plan.first_output(phase, box);
    const int64_t next = conv_next_window(n, last, d.windows);
    job.ahead[0] = conv_ahead(plan, next, conv_source(x));
    job.ahead[1] = conv_output_ahead(plan, next, dy);
    conv_weight(job);
    job.accumulate = true;
  }
}

template <class T>
void run_group(const ConvPlan& plan, T* dw, const ConvOperand<T>& x, const T* dy) {
  thread_local ConvScratch memory;
  const ConvPhase& phase = plan.phases[0];
  const int64_t size = phase.reduction * conv_padded<T>(plan.out_c);
  const int64_t tiles = conv_tile_count<T>(plan.out_c);
  const Division d = divide(plan, size * static_cast<int64_t>(sizeof(T)), tiles);
  T* packed = memory.take<T>(size * d.parts);
  parallel_for(d.parts * d.block_pieces * d.tile_pieces, 1,
               [&](int64_t piece, int64_t) { run_part(plan, d, piece, packed, x, dy); });
  conv_add_parts(plan, dw, packed, d.parts);
}

}  // namespace

template <class T>
void conv_add_parts(const ConvPlan& plan, T* dw, const T* packed, int64_t parts) {
  const ConvPhase& phase = plan.phases[0];
  parallel_for(conv_tile_count<T>(plan.out_c), 1, [&](int64_t tile, int64_t) {
    ConvUnpackJob<T> job;
    job.dw = dw;
    job.packed = packed;
    job.parts = parts;
    job.part_step = phase.reduction * conv_padded<T>(plan.out_c);
    job.reduction = plan.reduction_of(phase);
    job.k_step = plan.k_step;
    job.tile = tile;
    conv_unpack(job);
  });
}

template <class T>
void conv_drive_weight(const ConvShape& shape, T* dw, const T* dy, const ConvOperand<T>& x) {
  const ConvPlan plan = plan_forward(shape, sizeof(T), ConvUse::WeightGradient, conv_reading(x));
  if (plan.windows() == 0) {
    std::fill(dw, dw + shape.k * shape.taps() * shape.group_c(), T(0));
    return;
  }
  for (int64_t g = 0; g < shape.geometry.groups; ++g) {
    run_group(plan, dw + g * plan.out_c * plan.k_step, conv_group(x, g * plan.in_c), dy + g * plan.out_c);
  }
}

template void conv_add_parts(const ConvPlan&, float*, const float*, int64_t);
template void conv_add_parts(const ConvPlan&, double*, const double*, int64_t);
template void conv_drive_weight(const ConvShape&, float*, const float*, const ConvOperand<float>&);
template void conv_drive_weight(const ConvShape&, double*, const double*, const ConvOperand<double>&);

}  // namespace lathe::cpu
