#include "core/cpu/winograd_plan.h"

#include <algorithm>

#include "core/cpu/window_grid.h"

namespace lathe::cpu {
namespace {

constexpr int64_t kBlockBytes = 288 * 1024;  // of a block's transforms: they stay in a common L2
constexpr int64_t kMostTiles = 64;
constexpr int64_t kWindows = 32;     // wanted at least, so that threads share the work evenly
constexpr int64_t kLeastTiles = 14;  // of a block: fewer read the weights too often

}  // namespace

WinogradTiles::WinogradTiles(int64_t image_count, int64_t output_height, int64_t output_width)
    : images(image_count),
      height(output_height),
      width(output_width),
      rows(chunk_count(output_height, kWinogradTile)),
      columns(chunk_count(output_width, kWinogradTile)) {}

WinogradTiling::WinogradTiling(const WinogradTiles& tiles, int64_t most_tiles) : WinogradTiles(tiles) {
  const int64_t image_tiles = rows * columns;
  if (image_tiles <= most_tiles) {
    const int64_t shared = std::max<int64_t>(images / kWindows, 1);
    const int64_t least = chunk_count(kLeastTiles, image_tiles);
    window_images = even_piece(images, std::min(most_tiles / image_tiles, std::max(shared, least)));
    window_rows = block_rows = rows;
    window_columns = columns;
    return;
  }
  window_images = 1;
  window_columns = even_piece(columns, most_tiles);
  window_rows = rows;
  const int64_t most_rows = most_tiles / window_columns;
  const auto pieces = [&] { return chunk_count(rows, window_rows) * chunk_count(columns, window_columns); };
  while (images * pieces() < kWindows && window_rows > most_rows) window_rows = chunk_count(window_rows, 2);
  window_rows = even_piece(rows, window_rows);
  block_rows = even_piece(window_rows, most_rows);
}

int64_t WinogradTiling::windows() const {
  return window_count({images, rows, columns}, {window_images, window_rows, window_columns});
}

WinogradBox WinogradTiling::window(int64_t index) const {
  return {window_at({images, rows, columns}, {window_images, window_rows, window_columns}, index)};
}

int64_t WinogradTiling::blocks(const WinogradBox& window) const {
  return chunk_count(window.rows, block_rows);
}

WinogradBox WinogradTiling::block(const WinogradBox& window, int64_t index) const {
  WinogradBox box = window;
  box.row = window.row + index * block_rows;
  box.rows = std::min(block_rows, window.row + window.rows - box.row);
  return box;
}

WinogradBox WinogradTiling::block_after(int64_t n, int64_t index, int64_t next) const {
  const WinogradBox box = window(n);
  if (index + 1 < blocks(box)) return block(box, index + 1);
  return block(window(std::min(next, windows() - 1)), 0);
}

int64_t WinogradTiling::grain() const {
  return std::max<int64_t>(windows() / kWindows, 1);
}

int64_t WinogradTiles::pixels(const WinogradBox& box) const {
  const int64_t down = std::min(kWinogradTile * (box.row + box.rows), height) - kWinogradTile * box.row;
  const int64_t across =
      std::min(kWinogradTile * (box.column + box.columns), width) - kWinogradTile * box.column;
  return box.images * down * across;
}

int64_t winograd_block_tiles(int64_t channels, size_t element) {
  const int64_t tile_bytes = kWinogradPoints * channels * static_cast<int64_t>(element);
  return std::clamp<int64_t>(kBlockBytes / tile_bytes, kLeastTiles, kMostTiles);
}

}  // namespace lathe::cpu
