#pragma once
// The direct convolution's three passes over operands that may be mapped (conv_fused.h), and what is done to
// a window's outputs while they are in cache.

#include "core/cpu/conv_depthwise.h"
#include "core/cpu/conv_run.h"
#include "core/cpu/isa_conv_rows.h"
#include "core/tensor.h"

namespace lathe::cpu {

/// Called when the outputs of a window are written, by the thread that wrote them. `task` counts the pieces
/// of work that run one after another.
using ConvWindowEnd = FunctionRef<void(int64_t task, const ConvWindow& window)>;

/// Every phase's packed weights, one after another; valid until this thread's next call.
template <class T>
const T* conv_pack_weights(const ConvPlan& plan, const T* w);

/// y = the sum of `plan` over x, all groups; `end` after each window of each group.
template <class T>
void conv_drive(const ConvPlan& plan, int64_t groups, T* y, const ConvOperand<T>& x, const T* w,
                const T* bias, ConvWindowEnd end);

/// dw of all groups.
template <class T>
void conv_drive_weight(const ConvShape& shape, T* dw, const T* dy, const ConvOperand<T>& x);

/// dw = the sum of `parts` packed gradients, one after another, added in order.
template <class T>
void conv_add_parts(const ConvPlan& plan, T* dw, const T* packed, int64_t parts);

/// dw and the input gradient of one group, window by window from one copy of dy. False, and nothing done,
/// where that does not serve: windows that differ, or weights too large for a sum per task.
template <class T>
bool conv_drive_backward(const ConvShape& shape, T* dw, ConvInputGradient<T>& gradient,
                         const ConvOperand<T>& dy, const ConvOperand<T>& x, const T* w);

/// Moments of the outputs, window by window.
template <class T>
class ConvMoments {
 public:
  /// Of `tasks` pieces of work with outputs of c channels.
  ConvMoments(int64_t tasks, int64_t c);
  /// Outputs of a window are written. Windows of a task come one after another.
  void add(const ConvPlan& plan, int64_t task, const ConvWindow& window, const T* y);
  /// Pixels [first, first + count) of y.
  void add(int64_t task, const T* y, int64_t first, int64_t count);
  std::vector<double> total() const;

 private:
  int64_t c_;
  Tensor parts_;               // (tasks, 2 c)
  std::vector<int64_t> rows_;  // of a task so far
};

/// What becomes of an input gradient and its sums, window by window.
template <class T>
class ConvGradientEnd {
 public:
  ConvGradientEnd(const ConvInputGradient<T>& gradient, int64_t tasks, int64_t c);
  /// Whether there is anything to do.
  bool wanted() const { return gradient_.mask.x != nullptr || gradient_.residual_dy != nullptr; }
  void add(const ConvPlan& plan, int64_t task, const ConvWindow& window);
  /// Pixels [first, first + count).
  void add(int64_t task, int64_t first, int64_t count);
  /// Empty without a mask.
  std::vector<double> total() const;

 private:
  const ConvInputGradient<T>& gradient_;
  int64_t c_;
  Tensor parts_;  // (tasks, 2 c)
};

/// The same over a finished gradient of `pixels` pixels; sets its sums.
template <class T>
void finish_input_gradient(ConvInputGradient<T>& gradient, int64_t pixels, int64_t c);

/// As conv_fused_forward and conv_fused_backward, for what has_depthwise_rows (conv_depthwise_rows.h).
template <class T>
void depthwise_fused_forward(const ConvShape& shape, T* y, const ConvOperand<T>& x, const T* w, const T* bias,
                             std::vector<double>* moments);
template <class T>
void depthwise_fused_backward(const ConvShape& shape, T* dw, ConvInputGradient<T>& gradient,
                              const ConvOperand<T>& dy, const ConvOperand<T>& x, const T* w);

/// The same for any depthwise convolution; dy is a tensor.
template <class T>
void depthwise_forward(const ConvShape& shape, T* y, const ConvOperand<T>& x, const T* w, const T* bias,
                       std::vector<double>* moments);
template <class T>
void depthwise_backward_data(const ConvShape& shape, ConvInputGradient<T>& gradient, const ConvOperand<T>& dy,
                             const T* w);
template <class T>
void depthwise_backward_weight(const ConvShape& shape, T* dw, const T* dy, const ConvOperand<T>& x);

}  // namespace lathe::cpu
