#include "core/cpu/conv_plan.h"

#include <algorithm>
#include <utility>

#include "core/cpu/conv_plan_build.h"

namespace lathe::cpu {
namespace {

/// One input pixel per output pixel: nothing needs to be copied.
bool is_pointwise(const ConvShape& s) {
  return s.taps() == 1 && s.geometry.pad_h == 0 && s.geometry.pad_w == 0 && s.is_whole();
}
/// A pointwise convolution that skips no pixel is a product of matrices: one long row of pixels.
void flatten(const ConvShape& s, ConvPlan& plan, ConvPhase& phase) {
  if (s.geometry.stride_h != 1 || s.geometry.stride_w != 1) return;
  plan.layout = ConvPlan::Layout::InPlace;
  const int64_t pixels = plan.images * plan.in_h * plan.in_w;
  plan.images = plan.in_h = plan.out_h = phase.rows = 1;
  plan.in_w = plan.out_w = phase.columns = phase.y_row = plan.out_pixels = pixels;
}

ConvPlan forward(const ConvShape& s, const ConvRequest& request) {
  const Conv2dGeometry& g = s.geometry;
  ConvPlan plan;
  plan.images = s.n;
  plan.in_h = s.h;
  plan.in_w = s.w;
  plan.in_c = s.group_c();
  plan.in_pixel = s.c;
  plan.out_h = s.oh;
  plan.out_w = s.ow;
  plan.out_pixels = s.oh * s.ow;
  plan.out_c = s.group_k();
  plan.out_pixel = s.k;
  plan.step_h = g.stride_h;
  plan.step_w = g.stride_w;
  plan.k_step = s.taps() * s.group_c();
  plan.c_step = 1;
  plan.tap_step = s.group_c();
  ConvPhase phase;
  phase.rows = s.oh;
  phase.columns = phase.y_row = s.ow;
  phase.y_column = 1;
  for (int64_t ky = 0; ky < s.kh; ++ky) {
    for (int64_t kx = 0; kx < s.kw; ++kx) {
      phase.taps.push_back({ky * g.dilation_h - g.pad_h, kx * g.dilation_w - g.pad_w, ky * s.kw + kx});
    }
  }
  if (is_pointwise(s)) flatten(s, plan, phase);
  plan.phases.push_back(std::move(phase));
  conv_lay_out(plan, request);
  conv_add_entries(plan, request);
  return plan;
}

ConvPlan backward_data(const ConvShape& s, const ConvRequest& request) {
  const Conv2dGeometry& g = s.geometry;
  ConvPlan plan;
  plan.images = s.n;
  plan.in_h = s.oh;
  plan.in_w = s.ow;
  plan.in_c = s.group_k();
  plan.in_pixel = s.k;
  plan.out_h = s.h;
  plan.out_w = s.w;
  plan.out_step_h = g.stride_h;
  plan.out_step_w = g.stride_w;
  plan.out_pixels = s.h * s.w;
  plan.out_c = s.group_c();
  plan.out_pixel = s.c;
  plan.k_step = 1;
  plan.c_step = s.taps() * s.group_c();
  plan.tap_step = s.group_c();
  // dx[h] = sum over ky with (h + pad - ky dilation) = stride oh of dy[oh] w[ky]; h = i stride + a, phase a.
  for (int64_t a = 0; a < std::min(g.stride_h, s.h); ++a) {
    for (int64_t b = 0; b < std::min(g.stride_w, s.w); ++b) {
      ConvPhase phase;
      phase.rows = chunk_count(s.h - a, g.stride_h);
      phase.columns = chunk_count(s.w - b, g.stride_w);
      phase.y_first = a * s.w + b;
      phase.y_row = g.stride_h * s.w;
      phase.y_column = g.stride_w;
      for (int64_t ky = s.kh - 1; ky >= 0; --ky) {
        for (int64_t kx = s.kw - 1; kx >= 0; --kx) {
          const int64_t u = a + g.pad_h - ky * g.dilation_h, v = b + g.pad_w - kx * g.dilation_w;
          if (u % g.stride_h != 0 || v % g.stride_w != 0) continue;
          phase.taps.push_back({u / g.stride_h, v / g.stride_w, ky * s.kw + kx});
        }
      }
      if (is_pointwise(s)) flatten(s, plan, phase);
      plan.phases.push_back(std::move(phase));
    }
  }
  conv_lay_out(plan, request);
  conv_add_entries(plan, request);
  return plan;
}

}  // namespace

ConvShape::ConvShape(const Tensor& x, const Tensor& weights, const Tensor& y, const Conv2dGeometry& conv)
    : n(x.dim(0)),
      h(x.dim(1)),
      w(x.dim(2)),
      c(x.dim(3)),
      k(weights.dim(0)),
      kh(weights.dim(1)),
      kw(weights.dim(2)),
      oh(y.dim(1)),
      ow(y.dim(2)),
      geometry(conv) {
  LATHE_ASSERT(y.dim(0) == n && y.dim(3) == k && weights.dim(3) * conv.groups == c);
}

bool ConvShape::is_whole() const {
  const Conv2dGeometry& g = geometry;
  return oh == conv_out(h, kh, g.stride_h, g.pad_h, g.dilation_h) &&
         ow == conv_out(w, kw, g.stride_w, g.pad_w, g.dilation_w);
}

ConvPlan plan_forward(const ConvShape& shape, size_t element, ConvUse use, ConvReading reading) {
  return forward(shape, {element, use, reading});
}
ConvPlan plan_backward_data(const ConvShape& shape, size_t element, ConvUse use, ConvReading reading) {
  return backward_data(shape, {element, use, reading});
}

std::optional<ConvPlanPair> plan_backward(const ConvShape& shape, size_t element, ConvReading reading) {
  ConvRequest of_data{element, ConvUse::Tiles, ConvReading::Copied, true};
  ConvRequest of_weight{element, ConvUse::WeightGradient, reading, true};
  ConvPlanPair pair{backward_data(shape, of_data), forward(shape, of_weight)};
  ConvPlan &data = pair.data, &weight = pair.weight;
  const bool same_pixels =
      data.images == weight.images && data.rows == weight.rows && data.columns == weight.columns;
  const bool same_order = (data.layout == ConvPlan::Layout::ImagesInnermost) ==
                          (weight.layout == ConvPlan::Layout::ImagesInnermost);
  const bool holds_dy = data.layout != ConvPlan::Layout::Contiguous && data.u_min <= 0 && data.v_min <= 0 &&
                        data.u_min + data.u_span >= 0 && data.v_min + data.v_span >= 0;
  if (!same_pixels || !same_order || !holds_dy) return std::nullopt;
  WindowSize window;
  window.images = std::min(data.window_images, weight.window_images);
  window.rows = std::min(data.window_rows, weight.window_rows);
  window.columns = std::min(data.window_columns, weight.window_columns);
  of_data.like = of_weight.like = &window;
  data = backward_data(shape, of_data);
  weight = forward(shape, of_weight);
  pair.dy_first = -data.u_min * data.s_row - data.v_min * data.s_pixel;
  return pair;
}

int64_t ConvPlan::grain() const {
  constexpr int64_t kMostTasks = 32;
  return std::max<int64_t>(windows() / kMostTasks, 1);
}

int64_t ConvPlan::windows() const {
  return window_count({images, rows, columns}, {window_images, window_rows, window_columns});
}

ConvWindow ConvPlan::window(int64_t index) const {
  return window_at({images, rows, columns}, {window_images, window_rows, window_columns}, index);
}

ConvReduction ConvPlan::reduction_of(const ConvPhase& phase) const {
  ConvReduction r;
  r.offsets = phase.offsets.data();
  r.weights = phase.weights.data();
  r.starts = phase.starts.data();
  r.inside = phase.inside.empty() ? nullptr : phase.inside.data();
  r.runs = phase.runs.data();
  r.run_count = static_cast<int64_t>(phase.runs.size());
  r.length = phase.reduction;
  r.k = out_c;
  return r;
}

int64_t ConvPlan::first_output(const ConvPhase& phase, const ConvWindow& box) const {
  return (box.image * out_pixels + phase.y_first + box.row * phase.y_row + box.column * phase.y_column) *
         out_pixel;
}

ConvLines ConvPlan::lines_of(const ConvPhase& phase, const ConvWindow& box) const {
  const int64_t phase_rows = std::clamp<int64_t>(phase.rows - box.row, 0, box.rows);
  const int64_t phase_columns = std::clamp<int64_t>(phase.columns - box.column, 0, box.columns);
  ConvLines lines;
  lines.row = box.row;
  lines.column = box.column;
  lines.by_column = layout == Layout::ImagesInnermost;
  lines.x_pixel = kConvBlock;
  lines.unpadded = layout == Layout::Unpadded;
  if (layout == Layout::Contiguous || layout == Layout::InPlace || lines.unpadded) {
    lines.x_pixel = step_w * s_pixel;
  }
  if (layout == Layout::ImagesInnermost) {
    lines.outer = phase_rows;
    lines.inner = phase_columns;
    lines.length = box.images;
    lines.x_outer = scratch_step_h * s_row;
    lines.x_inner = s_pixel;
    lines.y_outer = phase.y_row * out_pixel;
    lines.y_inner = phase.y_column * out_pixel;
    lines.y_pixel = out_pixels * out_pixel;
  } else {
    lines.outer = box.images;
    lines.inner = phase_rows;
    lines.length = phase_columns;
    lines.x_outer = s_image;
    lines.x_inner = (lines.unpadded ? step_h : scratch_step_h) * s_row;
    lines.y_outer = out_pixels * out_pixel;
    lines.y_inner = phase.y_row * out_pixel;
    lines.y_pixel = phase.y_column * out_pixel;
  }
  return lines;
}

}  // namespace lathe::cpu
