#pragma once
// The micro-kernels by element type, and what the convolution drivers share.

#include <algorithm>

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

/// Copies what the window's pixels need of x (first image, first channel of the group), blocks
/// [block_lo, block_hi) of channels, each channel of x `repeat` times.
template <class T>
void conv_copy_window(const ConvPlan& plan, const ConvWindow& box, T* scratch, const T* x, int64_t block_lo,
                      int64_t block_hi, int64_t repeat = 1) {
  ConvCopyJob<T> job;
  job.scratch = scratch;
  job.image_step = plan.in_h * plan.in_w * plan.in_pixel;
  job.x = x + box.image * job.image_step;
  job.images = box.images;
  job.height = plan.in_h;
  job.width = plan.in_w;
  job.pixel_step = plan.in_pixel;
  job.channels = plan.in_c;
  job.repeat = repeat;
  job.block_lo = block_lo;
  job.block_hi = block_hi;
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
  job.s_image = plan.s_image;
  job.s_block = plan.s_block;
  job.s_row = plan.s_row;
  job.s_phase = plan.s_phase;
  job.s_pixel = plan.s_pixel;
  conv_copy(job);
}

/// Where a window's pixels stand for the micro-kernels: in `scratch`, which this fills, or in x itself.
template <class T>
const T* conv_input(const ConvPlan& plan, const ConvWindow& box, T* scratch, const T* x, int64_t block_lo,
                    int64_t block_hi) {
  if (plan.layout == ConvPlan::Layout::InPlace) {
    return x + box.image * plan.s_image + box.row * plan.step_h * plan.s_row +
           box.column * plan.step_w * plan.s_pixel;
  }
  conv_copy_window(plan, box, scratch, x, block_lo, block_hi);
  return scratch;
}

/// What conv_copy_window will read of x for window `index`; nothing past the last one.
template <class T>
ConvAhead conv_ahead(const ConvPlan& plan, int64_t index, const T* x) {
  if (index >= plan.windows()) return {};
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

/// The window that this thread will likely compute after `index`, the last of its task or not. A guess is
/// enough: results do not depend on it.
inline int64_t conv_next_window(int64_t index, int64_t task_end, int64_t grain) {
  return index + 1 < task_end ? index + 1 : index + 1 + (num_threads() - 1) * grain;
}

}  // namespace lathe::cpu
