#pragma once
// Images of pixels or tiles cut into windows, which are what a task computes: from sizes only, so that
// results never depend on threads.

#include <algorithm>
#include <cstdint>

#include "core/cpu/window_box.h"
#include "core/parallel.h"

namespace lathe::cpu {

struct WindowSize {
  int64_t images = 0, rows = 0, columns = 0;
};

/// n cut into pieces of at most `most`, as equal as can be: the largest piece.
inline int64_t even_piece(int64_t n, int64_t most) {
  if (n <= most) return std::max<int64_t>(n, 1);
  return chunk_count(n, chunk_count(n, std::max<int64_t>(most, 1)));
}

inline int64_t window_count(const WindowSize& whole, const WindowSize& window) {
  return chunk_count(whole.images, window.images) * chunk_count(whole.rows, window.rows) *
         chunk_count(whole.columns, window.columns);
}

/// Window `index`, counted image by image, row by row; those at the end of an axis perhaps smaller.
inline WindowBox window_at(const WindowSize& whole, const WindowSize& window, int64_t index) {
  const int64_t across = chunk_count(whole.columns, window.columns);
  const int64_t down = chunk_count(whole.rows, window.rows);
  WindowBox box;
  box.column = index % across * window.columns;
  box.columns = std::min(window.columns, whole.columns - box.column);
  box.row = index / across % down * window.rows;
  box.rows = std::min(window.rows, whole.rows - box.row);
  box.image = index / across / down * window.images;
  box.images = std::min(window.images, whole.images - box.image);
  return box;
}

}  // namespace lathe::cpu
