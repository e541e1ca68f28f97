#pragma once
// The micro-kernels by element type, and what the convolution drivers share.

#include <algorithm>

#include "core/cpu/conv_fused.h"
#include "core/cpu/conv_plan.h"
#include "core/parallel.h"

namespace lathe::cpu {

inline void conv_tile(const ConvTileJob<float>& job) {
  conv_tile_f32(job);
}
inline void conv_tile(const ConvTileJob<double>& job) {
  conv_tile_f64(job);
}
inline void conv_weight(const ConvWeightJob<float>& job) {
  conv_weight_f32(job);
}
inline void conv_weight(const ConvWeightJob<double>& job) {
  conv_weight_f64(job);
}
inline void conv_pack(const ConvPackJob<float>& job) {
  conv_pack_f32(job);
}
inline void conv_pack(const ConvPackJob<double>& job) {
  conv_pack_f64(job);
}
inline void conv_unpack(const ConvUnpackJob<float>& job) {
  conv_unpack_f32(job);
}
inline void conv_unpack(const ConvUnpackJob<double>& job) {
  conv_unpack_f64(job);
}
inline void conv_copy(const ConvCopyJob<float>& job) {
  conv_copy_f32(job);
}
inline void conv_copy(const ConvCopyJob<double>& job) {
  conv_copy_f64(job);
}

/// Lanes of a tile of output channels, and how many tiles k channels have.
template <class T>
int64_t conv_tile_lanes() {
  return 2 * conv_vector_bytes() / static_cast<int64_t>(sizeof(T));
}
template <class T>
int64_t conv_tile_count(int64_t k) {
  return chunk_count(k, conv_tile_lanes<T>());
}
/// k rounded up to whole vectors.
template <class T>
int64_t conv_padded(int64_t k) {
  const int64_t lanes = conv_tile_lanes<T>() / 2;
  return chunk_count(k, lanes) * lanes;
}

/// The tensor that an operand is computed from; the map's other tensors stand beside it.
template <class T>
const T* conv_source(const ConvOperand<T>& x) {
  if (x.map == ConvOperand<T>::Map::Identity) return x.x;
  return x.map == ConvOperand<T>::Map::Affine ? x.affine.x : x.gradient.x;
}
template <class T>
ConvMapping<T> conv_mapping(const ConvOperand<T>& x) {
  const AffineRows<T>& a = x.affine;
  const GradientRows<T>& g = x.gradient;
  switch (x.map) {
    case ConvOperand<T>::Map::Affine:
      return {ConvMap::Affine, a.relu, nullptr, nullptr, a.mean, a.scale, nullptr, a.shift};
    case ConvOperand<T>::Map::Gradient:
      return {ConvMap::Gradient, false, g.dy, g.y, g.mean, g.a, g.b, g.c};
    default:
      return {};
  }
}
/// The operand from `channels` channels on.
template <class T>
ConvOperand<T> conv_group(ConvOperand<T> x, int64_t channels) {
  const auto move = [channels](const T*& from) {
    if (from != nullptr) from += channels;
  };
  AffineRows<T>& a = x.affine;
  GradientRows<T>& g = x.gradient;
  for (const T** from :
       {&x.x, &a.x, &a.mean, &a.scale, &a.shift, &g.dy, &g.x, &g.y, &g.mean, &g.a, &g.b, &g.c})
    move(*from);
  return x;
}
template <class T>
ConvReading conv_reading(const ConvOperand<T>& x) {
  return x.map == ConvOperand<T>::Map::Identity ? ConvReading::InPlace : ConvReading::Copied;
}

/// Copies what the window's pixels need of x (first image, first channel of the group), blocks
/// [block_lo, block_hi) of channels, each channel of x `repeat` times; `scratch` begins with block
/// `block_first`.
template <class T>
void conv_copy_window(const ConvPlan& plan, const ConvWindow& box, T* scratch, const ConvOperand<T>& x,
                      int64_t block_lo, int64_t block_hi, int64_t repeat = 1, int64_t block_first = 0) {
  ConvCopyJob<T> job;
  job.scratch = scratch;
  job.image_step = plan.in_h * plan.in_w * plan.in_pixel;
  job.x = conv_source(x) + box.image * job.image_step;
  job.mapping = conv_mapping(x);
  if (job.mapping.g != nullptr) job.mapping.g += box.image * job.image_step;
  if (job.mapping.y != nullptr) job.mapping.y += box.image * job.image_step;
  job.images = box.images;
  job.height = plan.in_h;
  job.width = plan.in_w;
  job.pixel_step = plan.in_pixel;
  job.channels = plan.in_c;
  job.repeat = repeat;
  job.block_lo = block_lo;
  job.block_hi = block_hi;
  job.block_first = block_first;
  job.row = box.row * plan.step_h + plan.u_min;
  job.rows = (box.rows - 1) * plan.step_h + plan.u_span + 1;
  job.column = box.column * plan.step_w + plan.v_min;
  job.stride_w = plan.step_w;
  job.contiguous = plan.layout == ConvPlan::Layout::Contiguous;
  job.columns = job.contiguous ? (box.columns - 1) * plan.step_w + plan.v_span + 1
                               : box.columns + plan.v_span / plan.step_w;
  job.phases = plan.column_phases.data();
  job.phase_count = static_cast<int64_t>(plan.column_phases.size());
  job.row_used = plan.row_used.data();
  job.stride_h = plan.step_h;
  job.row_step = plan.step_h / plan.scratch_step_h;
  job.s_image = plan.s_image;
  job.s_block = plan.s_block;
  job.s_row = plan.s_row;
  job.s_phase = plan.s_phase;
  job.s_pixel = plan.s_pixel;
  conv_copy(job);
}

/// Where a window's pixels stand for the micro-kernels: in `scratch`, which this fills, or in x itself.
template <class T>
const T* conv_input(const ConvPlan& plan, const ConvWindow& box, T* scratch, const ConvOperand<T>& x,
                    int64_t block_lo, int64_t block_hi, int64_t block_first = 0) {
  if (plan.layout == ConvPlan::Layout::InPlace || plan.layout == ConvPlan::Layout::Unpadded) {
    return x.x + box.image * plan.s_image + box.row * plan.step_h * plan.s_row +
           box.column * plan.step_w * plan.s_pixel;
  }
  conv_copy_window(plan, box, scratch, x, block_lo, block_hi, 1, block_first);
  return scratch;
}

/// What conv_copy_window will read of x, or of a tensor beside it, for window `index`; nothing past the last
/// one.
template <class T>
ConvAhead conv_ahead(const ConvPlan& plan, int64_t index, const T* x) {
  if (index >= plan.windows() || x == nullptr) return {};
  const ConvWindow box = plan.window(index);
  const int64_t first = std::clamp<int64_t>(box.row * plan.step_h + plan.u_min, 0, plan.in_h);
  const int64_t last = std::clamp<int64_t>(
      (box.row + box.rows - 1) * plan.step_h + plan.u_min + plan.u_span + 1, first, plan.in_h);
  const int64_t row = plan.in_w * plan.in_pixel, image = plan.in_h * row;
  const int64_t rows = plan.in_h == 1 ? 0 : (box.images - 1) * plan.in_h + last - first;
  if (plan.in_h == 1) {  // a sequence: part of its only row
    const int64_t column = std::clamp<int64_t>(box.column * plan.step_w + plan.v_min, 0, plan.in_w);
    const int64_t columns = std::min(plan.in_w - column, box.columns * plan.step_w + plan.v_span);
    return {x + box.image * image + column * plan.in_pixel,
            columns * plan.in_pixel * static_cast<int64_t>(sizeof(T))};
  }
  return {x + box.image * image + first * row, rows * row * static_cast<int64_t>(sizeof(T))};
}

/// The window's outputs of all phases in a tensor like y.
template <class T>
ConvAhead conv_output_ahead(const ConvPlan& plan, int64_t index, const T* y) {
  if (index >= plan.windows() || y == nullptr) return {};
  ConvAhead ahead;
  plan.for_output_runs(plan.window(index), [&](int64_t first, int64_t count) {
    if (ahead.from == nullptr) ahead.from = y + first * plan.out_pixel;
    ahead.bytes += count * plan.out_pixel * static_cast<int64_t>(sizeof(T));
  });
  return ahead;
}

/// The window that this thread will likely compute after `index`, the last of its task or not. A guess is
/// enough: results do not depend on it.
inline int64_t conv_next_window(int64_t index, int64_t task_end, int64_t grain) {
  return index + 1 < task_end ? index + 1 : index + 1 + (num_threads() - 1) * grain;
}

}  // namespace lathe::cpu
