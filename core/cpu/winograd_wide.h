#pragma once
// Winograd convolutions of many channels and few tiles, whose transformed weights would not stay in a cache:
// tasks are ranges of channels, not of tiles, so that weights (and their gradients) are transformed in pieces
// that do, and their transforms never reach memory.

#include "core/cpu/winograd_run.h"

namespace lathe::cpu {

/// Tiles in the order of images, rows, columns, cut into groups of whole strips (rows of tiles): a group is
/// transformed as a whole before its products begin.
struct WinogradGroups : WinogradTiles {
  int64_t strips = 0;  ///< of a group, the last one perhaps fewer

  WinogradGroups(const WinogradTiles& all, int64_t most_tiles);
  int64_t count() const { return chunk_count(images * rows, strips); }
  int64_t tiles() const { return strips * columns; }  ///< most of a group
  /// Calls fn(box, first tile) for the parts of strips [lo, hi) that lie in one image, `lo` has tile 0.
  void for_each_box(int64_t lo, int64_t hi, FunctionRef<void(const WinogradBox&, int64_t)> fn) const;
  int64_t group_pixels(int64_t group) const;  ///< outputs that exist
};

WinogradGroups winograd_wide_groups(const ConvShape& shape, bool forward);

/// Forward or backward-data; `parts`: 2 outs values per group, see winograd_part, or null.
template <class T>
void winograd_wide(const ConvShape& shape, const WinogradPass& pass, const WinogradGroups& groups,
                   const WinogradSource<T>& source, const T* w, const WinogradOutputJob<T>& out,
                   double* parts);

/// Whether dw is faster so than by partial sums over ranges of tiles.
bool winograd_wide_weight_serves(const ConvShape& shape, size_t element);
template <class T>
void winograd_wide_weight(const ConvShape& shape, T* dw, const WinogradSource<T>& x,
                          const WinogradSource<T>& dy);

}  // namespace lathe::cpu
