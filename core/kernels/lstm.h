#pragma once
// The recurrence of one direction of an LSTM layer over N sequences of T steps and H units; the products with
// the layer's input are the caller's. One dtype, f32 or f64; no aliasing; T >= 1.
//
// Gates (N, T, 4H) lie side by side in the order input, forget, cell, output. States (2, N, T, H) are the
// outputs h and the cells c. `reverse` runs from the last step to the first.

#include "core/dispatch.h"

namespace lathe::kernels {

/// `gates` comes with the input's part of the sums, biases included, and leaves with the gates themselves.
/// w (4H, H) multiplies the output of the step before; h0, c0 (N, H) stand before the first step, undefined:
/// zeros.
LATHE_KERNEL(lstm_forward, Tensor& states, Tensor& gates, const Tensor& w, const Tensor& h0, const Tensor& c0,
             bool reverse);
/// dsums (N, T, 4H): the gradients of the sums in the gates. dh0, dc0 (N, H) where defined.
LATHE_KERNEL(lstm_backward, Tensor& dsums, Tensor& dh0, Tensor& dc0, const Tensor& dstates,
             const Tensor& states, const Tensor& gates, const Tensor& w, const Tensor& c0, bool reverse);

}  // namespace lathe::kernels
