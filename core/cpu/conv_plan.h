#pragma once
// How one convolution is cut into tasks: a value computed from shapes only, so that results never depend on
// threads. Notation as in Note [Convolution tiling] (core/cpu/conv_tile.h).

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/cpu/conv_tile.h"
#include "core/cpu/window_grid.h"
#include "core/kernels/conv.h"

namespace lathe::cpu {

/// Shapes of a convolution: x (n, h, w, c), weights (k, kh, kw, c / groups), y (n, oh, ow, k).
struct ConvShape {
  int64_t n = 0, h = 0, w = 0, c = 0;
  int64_t k = 0, kh = 0, kw = 0;
  int64_t oh = 0, ow = 0;
  Conv2dGeometry geometry;

  ConvShape(const Tensor& x, const Tensor& weights, const Tensor& y, const Conv2dGeometry& conv);
  /// Whether y is as large as the window's steps over x make it: a transposed convolution with much output
  /// padding has a smaller one.
  bool is_whole() const;
  int64_t taps() const { return kh * kw; }
  int64_t group_c() const { return c / geometry.groups; }
  int64_t group_k() const { return k / geometry.groups; }
};

/// Output pixel (i, j) of a phase reads input pixel (i step_h + du, j step_w + dv).
struct ConvTap {
  int64_t du = 0, dv = 0;
  int64_t index = 0;  ///< ky kw + kx
};

/// Output pixels that share taps: all of them, or those of one parity of a strided backward.
struct ConvPhase {
  std::vector<ConvTap> taps;
  int64_t rows = 0, columns = 0;                  ///< of output pixels
  int64_t y_first = 0, y_row = 0, y_column = 0;   ///< where they stand in an image, in pixels
  std::vector<int64_t> offsets, weights, starts;  ///< by entry, see ConvReduction
  std::vector<ConvInside> inside;                 ///< by entry; empty: see ConvReduction
  std::vector<ConvRun> runs;
  std::vector<int64_t> group_runs;  ///< by group of blocks: its first run; then the number of runs
  int64_t reduction = 0;            ///< channels of all entries
  int64_t packed_first = 0;         ///< of its weights in the packed buffer, in channels of the reduction
};

/// A box of output pixels that is computed from one filling of the scratch: images, and rows and columns of a
/// phase's output pixels.
using ConvWindow = WindowBox;

/// Per group; the groups differ only in where their channels begin.
struct ConvPlan {
  int64_t images = 0;
  int64_t in_h = 0, in_w = 0, in_c = 0, in_pixel = 0;  ///< in_pixel: channels of all groups
  int64_t out_pixels = 0, out_c = 0, out_pixel = 0;    ///< out_pixels: of an image
  int64_t out_h = 0, out_w = 0;
  int64_t out_step_h = 1, out_step_w = 1;  ///< output pixels between two of a phase
  int64_t step_h = 1, step_w = 1;
  int64_t k_step = 0, c_step = 0, tap_step = 0;  ///< in the weight tensor
  std::vector<ConvPhase> phases;
  int64_t reduction = 0;  ///< of all phases

  /// Layout of the scratch. InPlace and Unpadded have none: x is read where it stands, Unpadded with taps
  /// that may be outside.
  enum class Layout : uint8_t { Blocked, Contiguous, ImagesInnermost, InPlace, Unpadded };
  Layout layout = Layout::Blocked;
  int64_t u_min = 0, v_min = 0;
  int64_t blocks = 0;        ///< of channels
  int64_t group_blocks = 0;  ///< of them in the scratch at a time; group g has those from g times that on
  std::vector<int64_t> column_phases;  ///< that some tap needs
  std::vector<uint8_t> row_used;       ///< by row mod step_h
  int64_t scratch_step_h = 1;          ///< rows of the scratch between two output rows: step_h, or 1
  int64_t s_image = 0, s_block = 0, s_row = 0, s_phase = 0, s_pixel = 0;
  int64_t scratch = 0;  ///< elements

  int64_t rows = 0, columns = 0;  ///< most of any phase
  int64_t window_images = 0, window_rows = 0, window_columns = 0;
  int64_t u_span = 0, v_span = 0;  ///< extent of the taps

  int64_t block_groups() const { return group_blocks > 0 ? chunk_count(blocks, group_blocks) : 1; }
  int64_t windows() const;
  int64_t grain() const;  ///< windows of a task
  ConvWindow window(int64_t index) const;
  ConvReduction reduction_of(const ConvPhase& phase) const;
  /// Where the window's first pixel of the phase stands in the output tensor, first channel of the group.
  int64_t first_output(const ConvPhase& phase, const ConvWindow& window) const;
  ConvLines lines_of(const ConvPhase& phase, const ConvWindow& window) const;
  /// Calls fn(first, count) for the window's output pixels of all phases, as few runs of consecutive ones as
  /// there are, in order.
  template <class Fn>
  void for_output_runs(const ConvWindow& window, const Fn& fn) const;
};

template <class Fn>
void ConvPlan::for_output_runs(const ConvWindow& box, const Fn& fn) const {
  const int64_t top = box.row * out_step_h, left = box.column * out_step_w;
  const int64_t height = std::min((box.row + box.rows) * out_step_h, out_h) - top;
  const int64_t width = std::min((box.column + box.columns) * out_step_w, out_w) - left;
  if (height <= 0 || width <= 0) return;
  const int64_t first = box.image * out_pixels + top * out_w + left;
  if (width == out_w && height == out_h) return fn(first, box.images * out_pixels);
  for (int64_t n = 0; n < box.images; ++n) {
    if (width == out_w || height == 1) {
      fn(first + n * out_pixels, height * width);
      continue;
    }
    for (int64_t r = 0; r < height; ++r) fn(first + n * out_pixels + r * out_w, width);
  }
}

/// What a plan is for: forward and backward-data (runs whose weights stay in L2), weight gradients (one
/// run per block of channels), or depthwise (blocked scratch always; `shape` has one group and c = k, and the
/// entries of a block serve its own channels only).
enum class ConvUse : uint8_t { Tiles, WeightGradient, Depthwise };

/// Whether a plan may read its input where it stands: not if it is mapped.
enum class ConvReading : uint8_t { InPlace, Copied };

ConvPlan plan_forward(const ConvShape& shape, size_t element, ConvUse use,
                      ConvReading reading = ConvReading::InPlace);
ConvPlan plan_backward_data(const ConvShape& shape, size_t element, ConvUse use,
                            ConvReading reading = ConvReading::InPlace);

/// Backward-data and backward-weight over the same windows, so that dy, copied once, serves both.
struct ConvPlanPair {
  ConvPlan data, weight;
  int64_t dy_first = 0;  ///< where the window's first pixel of dy stands in the scratch of `data`
};
/// None where the windows cannot be the same. `reading` of x; dy is copied.
std::optional<ConvPlanPair> plan_backward(const ConvShape& shape, size_t element, ConvReading reading);

}  // namespace lathe::cpu
