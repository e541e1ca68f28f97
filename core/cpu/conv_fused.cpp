// Note [Fused convolutions]: which kernels serve.

#include "core/cpu/conv_fused.h"

#include "core/cpu/conv_depthwise_rows.h"
#include "core/cpu/conv_drive.h"
#include "core/cpu/conv_product.h"
#include "core/cpu/norm_parts.h"
#include "core/cpu/winograd.h"

namespace lathe::cpu {
namespace {

template <class T>
bool is_tensor(const ConvOperand<T>& x) {
  return x.map == ConvOperand<T>::Map::Identity;
}

template <class T>
void backward_weight(const ConvShape& shape, T* dw, const T* dy, const ConvOperand<T>& x) {
  if (is_depthwise(shape)) return depthwise_backward_weight(shape, dw, dy, x);
  if (is_conv_weight_product(shape) && is_tensor(x)) {
    return conv_product_backward_weight(shape, dw, dy, x.x);
  }
  conv_drive_weight(shape, dw, dy, x);
}

template <class T>
void backward_data(const ConvShape& shape, ConvInputGradient<T>& gradient, const ConvOperand<T>& dy,
                   const T* w) {
  if (is_depthwise(shape)) return depthwise_backward_data(shape, gradient, dy, w);
  const bool plain = gradient.mask.x == nullptr && gradient.residual_dy == nullptr;
  if (is_conv_product(shape) && is_tensor(dy) && plain) {
    return conv_product_backward_data(shape, gradient.dx, dy.x, w);
  }
  const ConvPlan plan = plan_backward_data(shape, sizeof(T), ConvUse::Tiles, conv_reading(dy));
  const int64_t groups = shape.geometry.groups;
  ConvGradientEnd<T> end(gradient, std::max<int64_t>(chunk_count(plan.windows(), plan.grain()), 1), shape.c);
  const bool by_window = groups == 1 && end.wanted();
  const T* no_bias = nullptr;
  conv_drive(plan, groups, gradient.dx, dy, w, no_bias, [&](int64_t task, const ConvWindow& window) {
    if (by_window) end.add(plan, task, window);
  });
  if (groups > 1) {
    finish_input_gradient(gradient, shape.n * shape.h * shape.w, shape.c);
  } else {
    gradient.sums = end.total();
  }
}

}  // namespace

template <class T>
void conv_fused_forward(const ConvShape& shape, T* y, const ConvOperand<T>& x, const T* w, const T* bias,
                        std::vector<double>* moments) {
  if (has_depthwise_rows<T>(shape)) return depthwise_fused_forward(shape, y, x, w, bias, moments);
  if (is_depthwise(shape)) return depthwise_forward(shape, y, x, w, bias, moments);
  if (winograd_chosen(shape)) return winograd_forward(shape, y, x, w, bias, moments);
  if (is_conv_product(shape) && is_tensor(x) && moments == nullptr) {
    return conv_product_forward(shape, y, x.x, w, bias);
  }
  const ConvPlan plan = plan_forward(shape, sizeof(T), ConvUse::Tiles, conv_reading(x));
  const int64_t groups = shape.geometry.groups;
  const bool by_window = groups == 1 && moments != nullptr;
  ConvMoments<T> sums(by_window ? std::max<int64_t>(chunk_count(plan.windows(), plan.grain()), 1) : 0,
                      shape.k);
  conv_drive(plan, groups, y, x, w, bias, [&](int64_t task, const ConvWindow& window) {
    if (by_window) sums.add(plan, task, window, y);
  });
  if (moments == nullptr) return;
  *moments = by_window ? sums.total() : moments_of(y, {shape.n * shape.oh * shape.ow, shape.k});
}

template <class T>
void conv_fused_backward(const ConvShape& shape, T* dw, ConvInputGradient<T>& gradient,
                         const ConvOperand<T>& dy, const ConvOperand<T>& x, const T* w) {
  if (has_depthwise_rows<T>(shape)) return depthwise_fused_backward(shape, dw, gradient, dy, x, w);
  if (winograd_chosen(shape)) return winograd_backward(shape, dw, gradient, dy, x, w);
  const bool both = dw != nullptr && gradient.dx != nullptr;
  if (both && !is_depthwise(shape) && conv_drive_backward(shape, dw, gradient, dy, x, w)) return;
  ConvOperand<T> g = dy;
  Tensor dense;
  if (dy.map == ConvOperand<T>::Map::Gradient && (dw != nullptr || shape.geometry.groups > 1)) {
    const RowChunk all{shape.n * shape.oh * shape.ow, shape.k};
    dense = Tensor::empty({all.rows, all.channels}, dtype_of<T>());
    GradientRows<T> rows = dy.gradient;
    rows.dx = dense.mut<T>();
    all_gradient_rows(rows, all);
    g = as_is<T>(rows.dx);
  }
  if (dw != nullptr) backward_weight(shape, dw, g.x, x);
  if (gradient.dx != nullptr) backward_data(shape, gradient, g, w);
}

#define LATHE_INSTANTIATE(T)                                                                            \
  template void conv_fused_forward(const ConvShape&, T*, const ConvOperand<T>&, const T*, const T*,     \
                                   std::vector<double>*);                                               \
  template void conv_fused_backward(const ConvShape&, T*, ConvInputGradient<T>&, const ConvOperand<T>&, \
                                    const ConvOperand<T>&, const T*);
LATHE_INSTANTIATE(float)
LATHE_INSTANTIATE(double)
#undef LATHE_INSTANTIATE

}  // namespace lathe::cpu
