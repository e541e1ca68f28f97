#pragma once
// What the Winograd drivers share: jobs by element type, sources, what to prefetch.

#include <algorithm>

#include "core/cpu/by_type.h"
#include "core/cpu/conv_fused.h"
#include "core/cpu/winograd_plan.h"
#include "core/parallel.h"

namespace lathe::cpu {

template <class T>
void winograd_input(const WinogradInputJob<T>& job) {
  by_type<T>(winograd_input_f32, winograd_input_f64)(job);
}
template <class T>
void winograd_output(const WinogradOutputJob<T>& job) {
  by_type<T>(winograd_output_f32, winograd_output_f64)(job);
}
template <class T>
void winograd_product(const WinogradProductJob<T>& job) {
  by_type<T>(winograd_product_f32, winograd_product_f64)(job);
}
template <class T>
void winograd_weight_product(const WinogradWeightProductJob<T>& job) {
  by_type<T>(winograd_weight_product_f32, winograd_weight_product_f64)(job);
}
template <class T>
void winograd_weights(const WinogradWeightsJob<T>& job) {
  by_type<T>(winograd_weights_f32, winograd_weights_f64)(job);
}
template <class T>
void winograd_weight_gradient(const WinogradWeightGradientJob<T>& job) {
  by_type<T>(winograd_weight_gradient_f32, winograd_weight_gradient_f64)(job);
}

template <class T>
WinogradPlanes<const T> as_const(const WinogradPlanes<T>& p) {
  return {p.data, p.point, p.block};
}

template <class T>
WinogradSource<T> winograd_source(const ConvOperand<T>& operand, int64_t height, int64_t width,
                                  int64_t channels) {
  WinogradSource<T> source{operand.x, height, width, channels, {}, {}};
  if (operand.map == ConvOperand<T>::Map::Affine) source.affine = operand.affine;
  if (operand.map == ConvOperand<T>::Map::Gradient) source.gradient = operand.gradient;
  return source;
}

/// The rows that a box of tiles reads of each tensor of the source.
template <class T>
void winograd_ahead(ConvAhead (&ahead)[3], const WinogradSource<T>& s, const WinogradBox& box, int64_t lead) {
  const int64_t lo = std::clamp<int64_t>(kWinogradTile * box.row - lead, 0, s.height);
  const int64_t hi =
      box.images > 1 ? s.height : std::clamp(kWinogradTile * (box.row + box.rows) + 2 - lead, lo, s.height);
  const int64_t row = s.width * s.channels, first = (box.image * s.height + lo) * row;
  const int64_t bytes = ((box.images - 1) * s.height + hi - lo) * row * static_cast<int64_t>(sizeof(T));
  const T* tensors[3] = {s.x, s.affine.x, s.gradient.x};
  if (s.gradient.x != nullptr) {
    tensors[0] = s.gradient.dy;
    tensors[1] = s.gradient.y;
  }
  for (int i = 0; i < 3; ++i) {
    if (tensors[i] != nullptr) ahead[i] = {tensors[i] + first, bytes};
  }
}

}  // namespace lathe::cpu
