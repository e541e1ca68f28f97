#pragma once
// What the drivers of depthwise rows and images share: packed weights, partial sums, rows that are done.

#include "core/cpu/by_type.h"
#include "core/cpu/conv_depthwise_rows.h"
#include "core/cpu/conv_scratch.h"
#include "core/cpu/isa_depthwise.h"

namespace lathe::cpu {

/// The lanes of a vector.
template <class T>
int64_t depthwise_lanes() {
  return conv_vector_bytes() / static_cast<int64_t>(sizeof(T));
}
template <class T>
int64_t depthwise_slots(const ConvShape& s) {
  return depthwise_slots(s.c, depthwise_lanes<T>());
}

template <class T>
struct DepthwisePacked {
  const T *w, *bias;  ///< null: none
};
/// [tap][slot] of weights (C, taps), the taps in reverse where `turned`, and [slot] of bias (null: none).
template <class T>
DepthwisePacked<T> pack_depthwise(const ConvShape& s, const T* w, const T* bias, bool turned) {
  thread_local ConvScratch memory;
  const int64_t slots = depthwise_slots<T>(s), taps = s.taps();
  T* const packed = memory.take<T>((taps + 1) * slots);
  T* const start = bias == nullptr ? nullptr : packed + taps * slots;
  for (int64_t slot = 0; slot < slots; ++slot) {
    const int64_t c = depthwise_channel(slot, s.c, depthwise_lanes<T>());
    const T* from = w + c * taps;
    for (int64_t t = 0; t < taps; ++t) packed[t * slots + slot] = from[turned ? taps - 1 - t : t];
    if (bias != nullptr) start[slot] = bias[c];
  }
  return {packed, start};
}

/// dw (C, taps) = the sum of gradients [tap][slot], added in order.
template <class T>
void add_depthwise_parts(const ConvShape& s, T* dw, T* parts, int64_t count) {
  const int64_t slots = depthwise_slots<T>(s), taps = s.taps(), size = taps * slots;
  const auto add = by_type<T>(depthwise_add_f32, depthwise_add_f64);
  for (int64_t p = 1; p < count; ++p) add(parts, parts + p * size, size);
  for (int64_t slot = 0; slot < slots; ++slot) {
    T* to = dw + depthwise_channel(slot, s.c, depthwise_lanes<T>()) * taps;
    for (int64_t t = 0; t < taps; ++t) to[t] = parts[t * slots + slot];
  }
}

inline constexpr int64_t kDepthwiseDoneBytes = 32 * 1024;  ///< of rows that are told of together

/// Tells `done` of rows when there are enough of them to be worth a call, at the latest at the chunk's end.
class DepthwiseDoneRows {
 public:
  DepthwiseDoneRows(const DepthwiseDone* done, int64_t chunk, int64_t first, int64_t row_bytes)
      : done_(done), chunk_(chunk), first_(first), row_bytes_(row_bytes) {}

  /// Rows before `end` are done; `last`: there will be no more.
  void reach(int64_t end, bool last) {
    if (done_ == nullptr || end == first_ || (!last && (end - first_) * row_bytes_ < kDepthwiseDoneBytes))
      return;
    (*done_)(chunk_, first_, end);
    first_ = end;
  }

 private:
  const DepthwiseDone* done_;
  int64_t chunk_, first_, row_bytes_;
};

/// Whether whole images are made at a time: 3x3, stride 1, 2x2 or 4x4 pixels. The functions below are those
/// of conv_depthwise_rows.h for these.
bool has_depthwise_images(const ConvShape& shape);

template <class T>
void depthwise_images_forward(const ConvShape& shape, T* y, const DepthwiseInput<T>& x, const T* w,
                              const T* bias, const DepthwiseDone* done);
template <class T>
void depthwise_images_backward_data(const ConvShape& shape, T* dx, const DepthwiseInput<T>& dy, const T* w,
                                    const DepthwiseDone* done);
/// dx null: not wanted, nor w.
template <class T>
void depthwise_images_backward(const ConvShape& shape, T* dw, T* dx, const DepthwiseInput<T>& dy,
                               const DepthwiseInput<T>& x, const T* w, const DepthwiseDone* done);

}  // namespace lathe::cpu
