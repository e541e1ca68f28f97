#pragma once
// How a Winograd convolution is cut: computed from shapes only, so that results never depend on threads.

#include <cstdint>

#include "core/cpu/conv_plan.h"
#include "core/cpu/isa_winograd.h"

namespace lathe::cpu {

/// The tiles that images of height x width outputs have.
struct WinogradTiles {
  int64_t images = 0, height = 0, width = 0;
  int64_t rows = 0, columns = 0;  ///< of tiles

  WinogradTiles(int64_t image_count, int64_t output_height, int64_t output_width);
  int64_t pixels(const WinogradBox& box) const;  ///< outputs that exist
};

/// They are cut into windows, which are tasks, and those into blocks, whose transforms fit a core's cache. A
/// window is several whole images and one block, or rows of tiles of one image and perhaps several blocks.
struct WinogradTiling : WinogradTiles {
  int64_t window_images = 0, window_rows = 0, window_columns = 0;
  int64_t block_rows = 0;

  WinogradTiling(const WinogradTiles& tiles, int64_t most_tiles);
  int64_t windows() const;
  WinogradBox window(int64_t index) const;
  int64_t blocks(const WinogradBox& window) const;
  WinogradBox block(const WinogradBox& window, int64_t index) const;
  /// The block that follows block `index` of window `n`: of that window, else the first of window `next`.
  WinogradBox block_after(int64_t n, int64_t index, int64_t next) const;
  int64_t grain() const;                                                              ///< windows of a task
  int64_t most_tiles() const { return window_images * block_rows * window_columns; }  ///< of a block
};

/// Tiles of a block, for `channels` transformed channels in all.
int64_t winograd_block_tiles(int64_t channels, size_t element);

/// Values of a ring for `columns` tiles.
inline int64_t winograd_ring(int64_t columns) {
  return kWinogradPatch * (kWinogradTile * columns + 2) * kWinogradBlock;
}

/// Planes for `tiles` tiles of `channels` channels at `data`: an odd number of blocks, so that the points of
/// a tile do not meet in one set of the cache.
template <class T>
WinogradPlanes<T> winograd_planes(T* data, int64_t channels, int64_t tiles) {
  const int64_t block = tiles * kWinogradBlock;
  return {data, (channels / kWinogradBlock * tiles | 1) * kWinogradBlock, block};
}
inline int64_t winograd_planes_size(int64_t channels, int64_t tiles) {
  return kWinogradPoints * winograd_planes<float>(nullptr, channels, tiles).point;
}

}  // namespace lathe::cpu
