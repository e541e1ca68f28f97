#pragma once
// 3x3 convolutions with a quarter of the multiplications.
//
// Note [Winograd convolution]
// A tile of 4 x 4 outputs of a 3x3 convolution with stride 1 is A^T ((G g G^T) * (B^T d B)) A, with 36
// multiplications per pair of channels where the sum itself has 144 (Note [Winograd matrices]). So a
// convolution is: weights to U = G g G^T, once; tiles of the input to V = B^T d B; at each of 36 points a
// product of matrices M = V U (tiles x input channels x output channels); y = A^T M A. Backward-data is the
// same with the weights turned by 180 degrees, backward-weight the adjoint: dU = V^T (A dy A^T) at each
// point, summed over tiles, and dw = G^T dU G. All three are exact up to rounding, which is some 10 times
// that of the plain sum (NMSE 1e-13 to 1e-12 in float).

#include <vector>

#include "core/cpu/conv_fused.h"
#include "core/cpu/conv_plan.h"

namespace lathe::cpu {

/// Whether the convolution has a form that is served and is faster so; says nothing about math_mode().
bool winograd_serves(const ConvShape& shape);
/// The same where math_mode() of this thread allows it.
bool winograd_chosen(const ConvShape& shape);

/// A tensor that is not mapped.
template <class T>
ConvOperand<T> as_is(const T* x) {
  ConvOperand<T> operand;
  operand.x = x;
  return operand;
}

/// As conv_fused_forward and conv_fused_backward.
template <class T>
void winograd_forward(const ConvShape& shape, T* y, const ConvOperand<T>& x, const T* w, const T* bias,
                      std::vector<double>* moments);
template <class T>
void winograd_backward(const ConvShape& shape, T* dw, ConvInputGradient<T>& gradient,
                       const ConvOperand<T>& dy, const ConvOperand<T>& x, const T* w);

}  // namespace lathe::cpu
