#pragma once
// The order in which groups run over a weight.

#include <cstdint>

#include "core/shape.h"

namespace lathe {

/// Maps positions in the order of groups to places in storage. Storage is (out, k..., in); PyTorch's order is
/// (out, in, k...). They differ only where there are several inputs and several taps.
class GroupOrder {
 public:
  GroupOrder(const Shape& shape, bool pytorch_order) {
    if (!pytorch_order || shape.rank() < 3 || shape.numel() == 0) return;
    in_ = shape[-1];
    taps_ = shape.numel() / shape[0] / in_;
  }

  /// Where the element of that position is stored.
  int64_t index(int64_t position) const {
    const int64_t row = in_ * taps_, rest = position % row;
    return position - rest + rest % taps_ * in_ + rest / taps_;
  }

  /// Calls visit(index(position)) for the positions lo, lo + 1, ..., hi - 1.
  template <class Visit>
  void for_each(int64_t lo, int64_t hi, Visit&& visit) const {
    if (taps_ == 1 || in_ == 1) {
      for (int64_t i = lo; i < hi; ++i) visit(i);
      return;
    }
    const int64_t row = in_ * taps_, rest = lo % row;
    int64_t base = lo - rest, in = rest / taps_, tap = rest % taps_;
    for (int64_t position = lo; position < hi; ++position) {
      visit(base + tap * in_ + in);
      if (++tap < taps_) continue;
      tap = 0;
      if (++in < in_) continue;
      in = 0;
      base += row;
    }
  }

 private:
  int64_t in_ = 1, taps_ = 1;
};

}  // namespace lathe
