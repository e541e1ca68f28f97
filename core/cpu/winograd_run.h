#pragma once
// What the Winograd drivers share: jobs by element type, sources, what to prefetch.

#include <algorithm>

#include "core/cpu/by_type.h"
#include "core/cpu/conv_fused.h"
#include "core/cpu/conv_scratch.h"
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

/// Where backward-data's results go, and what becomes of them.
template <class T>
WinogradOutputJob<T> winograd_input_gradient(const ConvShape& s, const ConvInputGradient<T>& gradient) {
  WinogradOutputJob<T> out;
  out.y = gradient.dx;
  out.height = s.h;
  out.width = s.w;
  out.pixel = s.c;
  out.residual_dy = gradient.residual_dy;
  out.residual_y = gradient.residual_y;
  out.mask = gradient.mask;
  return out;
}

/// Memory that later jobs touch, to be brought into L2 meanwhile: up to three tensors per product.
class WinogradAhead {
 public:
  /// The rows that a box of tiles reads of each tensor of the source.
  template <class T>
  void add(const WinogradSource<T>& s, const WinogradBox& box, int64_t lead) {
    const int64_t lo = std::clamp<int64_t>(kWinogradTile * box.row - lead, 0, s.height);
    const int64_t hi = std::clamp(kWinogradTile * (box.row + box.rows) + 2 - lead, lo, s.height);
    const T* tensors[] = {s.gradient.x, s.gradient.dy, s.gradient.y, s.affine.x, s.x};
    const bool mapped = s.gradient.x != nullptr || s.affine.x != nullptr;
    for (const T* tensor : tensors) {
      if (tensor == s.x && mapped) continue;
      add(tensor, box, lo, hi, s.height, s.width * s.channels);
    }
  }
  /// The rows that the box's outputs are written to, and those of what is read with them, but for `there`.
  template <class T>
  void add(const WinogradOutputJob<T>& job, const WinogradBox& box, const T* there = nullptr) {
    const int64_t lo = kWinogradTile * box.row, hi = std::min(job.height, lo + kWinogradTile * box.rows);
    const T* mask = job.mask.x != there ? job.mask.x : nullptr;
    const T* tensors[] = {job.y, job.residual_dy, job.residual_y, mask};
    for (const T* tensor : tensors) add(tensor, box, lo, hi, job.height, job.width * job.pixel);
  }
  /// Hands the next three on to a job.
  void take(ConvAhead (&ahead)[3]) {
    for (ConvAhead& to : ahead) to = taken_ < count_ ? entries_[taken_++] : ConvAhead{};
  }

 private:
  template <class T>
  void add(const T* tensor, const WinogradBox& box, int64_t lo, int64_t hi, int64_t height, int64_t row) {
    if (tensor == nullptr) return;
    const int64_t rows = (box.images - 1) * height + hi - lo;
    entries_[count_++] = {tensor + (box.image * height + lo) * row,
                          rows * row * static_cast<int64_t>(sizeof(T))};
  }

  ConvAhead entries_[12];
  int count_ = 0, taken_ = 0;
};

/// A convolution from `ins` to `outs` channels: forward from x to y, or backward-data from dy to dx.
struct WinogradPass {
  int64_t ins = 0, outs = 0, lead = 0;
  int64_t slice = 0;      ///< output channels that are multiplied and transformed together
  bool in_place = false;  ///< the products overwrite the transformed input
  bool forward = true;
};

template <class T>
WinogradPass winograd_pass(const ConvShape& s, bool forward) {
  const int64_t ins = forward ? s.c : s.k, outs = forward ? s.k : s.c;
  const int64_t panel = 2 * conv_vector_bytes() / static_cast<int64_t>(sizeof(T));
  return {ins,
          outs,
          forward ? s.geometry.pad_h : 2 - s.geometry.pad_h,
          outs <= 64 ? outs : 32,
          ins == outs && outs <= panel,
          forward};
}

/// U of all channels, slice after slice, in this thread's memory until the next call.
template <class T>
const T* winograd_weights_of(const ConvShape& s, const WinogradPass& pass, const T* w) {
  thread_local ConvScratch memory;
  const int64_t slice_size = kWinogradPoints * winograd_weights_point(pass.ins * pass.slice);
  T* u = memory.take<T>(chunk_count(pass.outs, pass.slice) * slice_size);
  parallel_for(pass.outs, pass.slice, [&](int64_t lo, int64_t hi) {
    WinogradWeightsJob<T> job;
    job.u = u + lo / pass.slice * slice_size;
    job.w = w;
    job.c = s.c;
    job.ins = pass.ins;
    job.out = lo;
    job.outs = hi - lo;
    job.rotated = !pass.forward;
    winograd_weights(job);
  });
  return u;
}

/// From the transformed input of a box to the stored outputs.
template <class T>
void winograd_outputs(const WinogradPass& pass, const WinogradPlanes<T>& v, const WinogradPlanes<T>& m,
                      const T* u, WinogradOutputJob<T>& out, WinogradAhead& ahead) {
  WinogradProductJob<T> product;
  product.m = m;
  product.v = as_const(v);
  product.tiles = out.box.tiles();
  product.ins = pass.ins;
  out.products = as_const(m);
  for (int64_t k = 0; k < pass.outs; k += pass.slice) {
    product.u = u + k / pass.slice * kWinogradPoints * winograd_weights_point(pass.ins * pass.slice);
    product.outs = out.channels = std::min(pass.slice, pass.outs - k);
    ahead.take(product.ahead);
    winograd_product(product);
    out.channel = k;
    winograd_output(out);
  }
}

/// Channels [lo, hi).
struct WinogradChannels {
  int64_t lo = 0, hi = 0;
};

/// What the sums of `pixels` pixels (rows of `channels`, see WinogradOutputJob) become, in double: mean and
/// squared distances, or the two sums as they are.
template <class T>
void winograd_part(double* part, const T* sums, int64_t channels, WinogradChannels range, int64_t pixels,
                   bool moments) {
  for (int64_t j = range.lo; j < range.hi; ++j) {
    const auto sum = static_cast<double>(sums[j]), second = static_cast<double>(sums[channels + j]);
    part[j] = sum;
    part[channels + j] = second;
    if (!moments) continue;
    const double shift = sum / static_cast<double>(pixels), spread = second - shift * sum;
    part[j] = static_cast<double>(sums[2 * channels + j]) + shift;
    part[channels + j] = spread < 0 ? 0 : spread;  // NaN stays
  }
}

/// winograd_backward without dw.
template <class T>
void winograd_backward_data(const ConvShape& s, ConvInputGradient<T>& gradient, const ConvOperand<T>& dy,
                            const T* w);

/// Whether rings for all `channels` channels may be kept from block to block.
template <class T>
bool winograd_keeps(int64_t channels, int64_t columns) {
  constexpr int64_t kRings = 32 * 1024;  // bytes
  return channels / kWinogradBlock * winograd_ring(columns) * static_cast<int64_t>(sizeof(T)) <= kRings;
}

}  // namespace lathe::cpu
