// The convolution kernels: fused convolutions (conv_fused.h) of operands as they stand in memory.

#include "core/kernels/conv.h"

#include "core/cpu/conv_fused.h"
#include "core/cpu/conv_line.h"
#include "core/cpu/winograd.h"

namespace lathe::kernels::cpu {

using lathe::cpu::as_is;
using lathe::cpu::ConvInputGradient;
using lathe::cpu::ConvShape;

void conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Conv2dGeometry& geometry) {
  const ConvShape shape(x, w, y, geometry);
  dispatch_floating(y.dtype(), "conv2d_forward", [&]<class T>() {
    if (lathe::cpu::conv_is_line(shape, geometry)) {
      return lathe::cpu::conv_line_forward(shape, y.mut<T>(), x.ptr<T>(), w.ptr<T>(),
                                           bias.defined() ? bias.ptr<T>() : nullptr);
    }
    lathe::cpu::conv_fused_forward(shape, y.mut<T>(), as_is(x.ptr<T>()), w.ptr<T>(),
                                   bias.defined() ? bias.ptr<T>() : nullptr, nullptr);
  });
}

void conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w, const Conv2dGeometry& geometry) {
  const ConvShape shape(dx, w, dy, geometry);
  dispatch_floating(dx.dtype(), "conv2d_backward_data", [&]<class T>() {
    if (lathe::cpu::conv_is_line(shape, geometry))
      return lathe::cpu::conv_line_data(shape, dx.mut<T>(), dy.ptr<T>(), w.ptr<T>());
    ConvInputGradient<T> gradient;
    gradient.dx = dx.mut<T>();
    T* no_dw = nullptr;
    lathe::cpu::conv_fused_backward(shape, no_dw, gradient, as_is(dy.ptr<T>()), {}, w.ptr<T>());
  });
}

void conv2d_backward_weight(Tensor& dw, const Tensor& dy, const Tensor& x, const Conv2dGeometry& geometry) {
  const ConvShape shape(x, dw, dy, geometry);
  dispatch_floating(dw.dtype(), "conv2d_backward_weight", [&]<class T>() {
    if (lathe::cpu::conv_is_line(shape, geometry))
      return lathe::cpu::conv_line_weight(shape, dw.mut<T>(), dy.ptr<T>(), x.ptr<T>());
    ConvInputGradient<T> none;
    const T* no_w = nullptr;
    lathe::cpu::conv_fused_backward(shape, dw.mut<T>(), none, as_is(dy.ptr<T>()), as_is(x.ptr<T>()), no_w);
  });
}

}  // namespace lathe::kernels::cpu
