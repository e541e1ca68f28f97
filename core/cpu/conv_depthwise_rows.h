#pragma once
// Depthwise 3x3 and 5x5 convolutions, padded by half, stride 1 or 2: nearly all there are. See Note
// [Depthwise rows] in core/cpu/isa_depthwise.h.

#include "core/cpu/conv_plan.h"
#include "core/parallel.h"

namespace lathe::cpu {

/// Makes row `row` of a tensor (N, H, W, C), counted through all images, at `to` (W C values).
template <class T>
using DepthwiseFill = FunctionRef<void(T* to, int64_t row)>;

/// A tensor whose rows the kernels read: in place, or made by `fill` in a small ring in L1, nearly each once.
template <class T>
struct DepthwiseInput {
  const T* x = nullptr;                    ///< read in place, and prefetched, where fill is null
  const DepthwiseFill<T>* fill = nullptr;  ///< of rows; called on any thread
  const T* beside = nullptr;               ///< a tensor like x that fill reads too, prefetched
};

/// Called when rows [lo, hi) of an output, counted through all images, are done and still in cache.
/// `chunk` < kDepthwiseChunks: rows of a chunk are finished in order by one thread, and what a chunk is
/// depends on the shape only.
using DepthwiseDone = FunctionRef<void(int64_t chunk, int64_t lo, int64_t hi)>;
inline constexpr int64_t kDepthwiseChunks = 32;

/// Whether the functions below serve the shape: depthwise, 3x3 or 5x5, padded by half, stride 1 or 2, no
/// dilation, no multiplier, at least a vector of channels, not empty.
template <class T>
bool has_depthwise_rows(const ConvShape& shape);

template <class T>
void depthwise_rows_forward(const ConvShape& shape, T* y, const DepthwiseInput<T>& x, const T* w,
                            const T* bias, const DepthwiseDone* done = nullptr);
template <class T>
void depthwise_rows_backward_data(const ConvShape& shape, T* dx, const DepthwiseInput<T>& dy, const T* w,
                                  const DepthwiseDone* done = nullptr);
template <class T>
void depthwise_rows_backward_weight(const ConvShape& shape, T* dw, const DepthwiseInput<T>& dy,
                                    const DepthwiseInput<T>& x);

/// Both in one go: each row of dy and of x is made once.
template <class T>
void depthwise_rows_backward(const ConvShape& shape, T* dw, T* dx, const DepthwiseInput<T>& dy,
                             const DepthwiseInput<T>& x, const T* w, const DepthwiseDone* done = nullptr);

}  // namespace lathe::cpu
