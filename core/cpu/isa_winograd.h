#pragma once
// What the drivers (winograd*.cpp) and the loops compiled per instruction set
// (core/cpu/isa/winograd_*.cpp) say to each other, see Note [Winograd convolution] (core/cpu/winograd.h).

#include <cstdint>

#include "core/cpu/conv_tile.h"
#include "core/cpu/isa.h"
#include "core/cpu/isa_norm.h"
#include "core/cpu/window_box.h"

namespace lathe::cpu {

inline constexpr int64_t kWinogradPoints = 36;
inline constexpr int64_t kWinogradTile = 4;   // output pixels of a tile, per axis
inline constexpr int64_t kWinogradPatch = 6;  // input pixels that they need
inline constexpr int64_t kWinogradBlock = kConvBlock;

/// Transformed tiles: lane l of block b of tile t at point p stands at p * point + b * block + t *
/// kWinogradBlock + l.
template <class T>
struct WinogradPlanes {
  T* data = nullptr;
  int64_t point = 0, block = 0;
};

/// Strips of tiles: tile (i, j) of an image covers its pixels (4 i, 4 j) to (4 i + 3, 4 j + 3), perhaps
/// beyond the last. Tiles are counted image by image, row by row.
struct WinogradBox : WindowBox {
  int64_t tiles() const { return images * rows * columns; }
};

/// A tensor (N, height, width, channels), mapped while it is read: x where neither map is given.
template <class T>
struct WinogradSource {
  const T* x = nullptr;
  int64_t height = 0, width = 0, channels = 0;
  AffineRows<T> affine;      ///< y unused; x null: not this map
  GradientRows<T> gradient;  ///< dx, dresidual unused; x null: not this map
};

/// Fills a ring of six padded rows and transforms what a strip needs from it, block after block.
template <class T>
struct WinogradInputJob {
  WinogradSource<T> source;
  WinogradBox box;
  int64_t lead = 0;   ///< a tile's patch begins at row 4 i - lead, column 4 j - lead
  int64_t inner = 0;  ///< its pixels for `outputs` begin at this row and column of the patch
  T* ring = nullptr;  ///< 6 (4 columns + 2) 16 values for every block, or for all of them where not kept
  bool keep =
      false;  ///< a ring for every block: rows that the box before this one filled last are still there
  bool fresh = false;         ///< but they are not this box's
  WinogradPlanes<T> patches;  ///< B^T d B; data null: not wanted
  WinogradPlanes<T> outputs;  ///< A d A^T of the 4 x 4 pixels; data null: not wanted
  ConvAhead ahead[3];
};
LATHE_ISA_FUNCTION(void, winograd_input_f32, const WinogradInputJob<float>& job);
LATHE_ISA_FUNCTION(void, winograd_input_f64, const WinogradInputJob<double>& job);

/// y = A^T m A + bias and what follows it, for `channels` channels of y from `channel` on.
template <class T>
struct WinogradOutputJob {
  WinogradPlanes<const T> products;  ///< its first block is y's channel `channel`
  WinogradBox box;
  T* y = nullptr;
  int64_t height = 0, width = 0, pixel = 0;  ///< of y; pixel: all its channels
  int64_t channel = 0, channels = 0;
  const T* bias = nullptr;  ///< by y's channel, or null
  /// Of y, see ConvInputGradient (core/cpu/conv_fused.h).
  const T *residual_dy = nullptr, *residual_y = nullptr;
  AffineRows<T> mask;
  /// Running sums in T over a window, by y's channel in rows of `pixel`; null: none. With a mask: of v and of
  /// v (mask.x - mask.mean). Without: of y - origin and of its square; origin is row 2.
  T* sums = nullptr;
  bool first = false;  ///< the sums begin, and origin is to be set
};
LATHE_ISA_FUNCTION(void, winograd_output_f32, const WinogradOutputJob<float>& job);
LATHE_ISA_FUNCTION(void, winograd_output_f64, const WinogradOutputJob<double>& job);

/// Step between points of transformed weights: `size` values and a few more, so that the points of a weight
/// do not meet in one set of the cache.
constexpr int64_t winograd_weights_point(int64_t size) {
  return size + kWinogradBlock;
}

/// Transformed weights U = G g G^T of input channels [in, in + ins) and output channels [out, out + outs),
/// all multiples of 16: [point][panel of outputs][input channel][lanes of the panel], points
/// winograd_weights_point(ins * outs) apart. A panel is two vectors wide, the last one perhaps one. The
/// weights are (K, 3, 3, C): g = w[out][.][.][in], or, where rotated, w[in] turned by 180 degrees, [out].
template <class T>
struct WinogradWeightsJob {
  T* u = nullptr;
  const T* w = nullptr;
  int64_t c = 0;  ///< C
  int64_t in = 0, ins = 0, out = 0, outs = 0;
  bool rotated = false;
};
LATHE_ISA_FUNCTION(void, winograd_weights_f32, const WinogradWeightsJob<float>& job);
LATHE_ISA_FUNCTION(void, winograd_weights_f64, const WinogradWeightsJob<double>& job);

/// dw = or += G^T dU G for input channels [in, in + ins) and output
/// channels [out, out + outs). du: [point][input channel][output channel] of these ranges.
template <class T>
struct WinogradWeightGradientJob {
  T* dw = nullptr;  ///< (K, 3, 3, C)
  const T* du = nullptr;
  int64_t point = 0, row = 0;  ///< steps of du
  int64_t c = 0;
  int64_t in = 0, ins = 0, out = 0, outs = 0;
  bool accumulate = false;
};
LATHE_ISA_FUNCTION(void, winograd_weight_gradient_f32, const WinogradWeightGradientJob<float>& job);
LATHE_ISA_FUNCTION(void, winograd_weight_gradient_f64, const WinogradWeightGradientJob<double>& job);

/// At each point, m (tiles, outs) = or += v (tiles, ins) u (ins, outs). m may be v where outs is one panel
/// and ins = outs.
template <class T>
struct WinogradProductJob {
  WinogradPlanes<T> m;
  WinogradPlanes<const T> v;
  const T* u = nullptr;  ///< as WinogradWeightsJob packs it
  int64_t tiles = 0, ins = 0, outs = 0;
  bool accumulate = false;
  ConvAhead ahead[3];
};
LATHE_ISA_FUNCTION(void, winograd_product_f32, const WinogradProductJob<float>& job);
LATHE_ISA_FUNCTION(void, winograd_product_f64, const WinogradProductJob<double>& job);

/// At each point, du (ins, outs) = or += v^T (ins, tiles) y (tiles, outs).
template <class T>
struct WinogradWeightProductJob {
  T* du = nullptr;
  int64_t point = 0, row = 0;  ///< steps of du
  WinogradPlanes<const T> v, y;
  int64_t tiles = 0, ins = 0, outs = 0;
  bool accumulate = false;
  ConvAhead ahead[3];
};
LATHE_ISA_FUNCTION(void, winograd_weight_product_f32, const WinogradWeightProductJob<float>& job);
LATHE_ISA_FUNCTION(void, winograd_weight_product_f64, const WinogradWeightProductJob<double>& job);

}  // namespace lathe::cpu
