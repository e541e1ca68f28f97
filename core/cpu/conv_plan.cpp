#include "core/cpu/conv_plan.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace lathe::cpu {
namespace {

constexpr int64_t kScratchBytes = 256 * 1024;  // of a task: half of a common L2
constexpr int64_t kPairBytes = 192 * 1024;     // of each of two scratches that a task fills
constexpr int64_t kTasks = 32;                 // wanted at least, so that threads share the work evenly
constexpr int64_t kPixels = 256;               // of a window, for the weights read per window
constexpr int64_t kRunBytes = 24 * 1024;       // of packed weights in L1 at a time
constexpr int64_t kMinRows = 4;                // of a task: the halo would cost more than it helps
constexpr int64_t kMinColumns = 64;
constexpr int64_t kInnermostImages = 16;  // two tiles of 8
// Channels of a pointwise input whose weight gradient reads it in place: the lines of a block of more stand
// too far apart for L1.
constexpr int64_t kInPlaceChannels = 64;
constexpr int64_t kInPlaceEntry = 64;
constexpr int64_t kNarrow = 8;  // output columns that fill a tile

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
/// n cut into pieces of at most `most`, as equal as can be: the largest piece.
int64_t even_piece(int64_t n, int64_t most) {
  if (n <= most) return std::max<int64_t>(n, 1);
  return ceil_div(n, ceil_div(n, most));
}

void find_extent(ConvPlan& plan) {
  int64_t u_max = std::numeric_limits<int64_t>::min(), v_max = u_max;
  plan.u_min = plan.v_min = std::numeric_limits<int64_t>::max();
  for (const ConvPhase& phase : plan.phases) {
    plan.rows = std::max(plan.rows, phase.rows);
    plan.columns = std::max(plan.columns, phase.columns);
    for (const ConvTap& tap : phase.taps) {
      plan.u_min = std::min(plan.u_min, tap.du);
      plan.v_min = std::min(plan.v_min, tap.dv);
      u_max = std::max(u_max, tap.du);
      v_max = std::max(v_max, tap.dv);
    }
  }
  if (u_max < plan.u_min) plan.u_min = plan.v_min = u_max = v_max = 0;  // no taps at all
  plan.u_span = u_max - plan.u_min;
  plan.v_span = v_max - plan.v_min;
  std::vector<uint8_t> column_used(static_cast<size_t>(plan.step_w), 0);
  plan.row_used.assign(static_cast<size_t>(plan.step_h), 0);
  for (const ConvPhase& phase : plan.phases) {
    for (const ConvTap& tap : phase.taps) {
      column_used[static_cast<size_t>((tap.dv - plan.v_min) % plan.step_w)] = 1;
      plan.row_used[static_cast<size_t>((tap.du - plan.u_min) % plan.step_h)] = 1;
    }
  }
  for (int64_t p = 0; p < plan.step_w; ++p) {
    if (column_used[static_cast<size_t>(p)] != 0) plan.column_phases.push_back(p);
  }
}

/// Few channels, and the taps of a kernel row stand side by side.
bool fits_contiguous(const ConvPlan& plan) {
  if (plan.in_c >= 8 || plan.c_step != 1 || plan.phases.size() != 1) return false;
  const std::vector<ConvTap>& taps = plan.phases[0].taps;
  for (size_t i = 1; i < taps.size(); ++i) {
    if (taps[i].du == taps[i - 1].du && taps[i].dv != taps[i - 1].dv + 1) return false;
  }
  return true;
}

int64_t scratch_of(const ConvPlan& plan, int64_t images, int64_t rows, int64_t columns) {
  const int64_t in_rows = (rows - 1) * plan.step_h + plan.u_span + 1;
  if (plan.layout == ConvPlan::Layout::Contiguous) {
    return images * in_rows * ((columns - 1) * plan.step_w + plan.v_span + 1) * plan.in_c;
  }
  const int64_t in_columns = columns + plan.v_span / plan.step_w;
  return images * plan.blocks * in_rows * static_cast<int64_t>(plan.column_phases.size()) * in_columns *
         kConvBlock;
}

/// Sizes of a task: scratch within the given bytes, and kTasks of them if the problem has that many.
void cut(ConvPlan& plan, size_t element, int64_t scratch_bytes) {
  const int64_t most = scratch_bytes / static_cast<int64_t>(element);
  const auto fits = [&](int64_t images, int64_t rows, int64_t columns) {
    return scratch_of(plan, images, rows, columns) <= most;
  };
  int64_t columns = std::max<int64_t>(plan.columns, 1), rows = std::max<int64_t>(plan.rows, 1);
  if (plan.layout == ConvPlan::Layout::ImagesInnermost) {
    plan.window_images = even_piece(plan.images, kInnermostImages);
    plan.window_rows = rows;
    plan.window_columns = columns;
    return;
  }
  while (columns > kMinColumns && !fits(1, 1, columns)) columns = ceil_div(columns, 2);
  while (rows > 1 && !fits(1, rows, columns)) rows = ceil_div(rows, 2);
  const auto pieces = [&] { return ceil_div(plan.rows, rows) * ceil_div(plan.columns, columns); };
  while (plan.images * pieces() < kTasks && rows >= 2 * kMinRows) rows = ceil_div(rows, 2);
  while (plan.images * pieces() < kTasks && columns >= 2 * kMinColumns) columns = ceil_div(columns, 2);
  plan.window_rows = even_piece(plan.rows, rows);
  plan.window_columns = even_piece(plan.columns, columns);
  int64_t images = 1;
  if (pieces() == 1) {
    const int64_t pixels = plan.rows * plan.columns;
    while (images * pixels < kPixels && images < plan.images / kTasks && fits(images + 1, rows, columns)) {
      ++images;
    }
  }
  plan.window_images = even_piece(plan.images, images);
}

void lay_out(ConvPlan& plan) {
  const int64_t in_rows = (plan.window_rows - 1) * plan.step_h + plan.u_span + 1;
  const int64_t phases = static_cast<int64_t>(plan.column_phases.size());
  const int64_t columns = plan.window_columns + plan.v_span / plan.step_w;
  switch (plan.layout) {
    case ConvPlan::Layout::Contiguous:
      plan.s_pixel = plan.in_c;
      plan.s_row = ((plan.window_columns - 1) * plan.step_w + plan.v_span + 1) * plan.in_c;
      plan.s_image = in_rows * plan.s_row;
      break;
    case ConvPlan::Layout::Blocked:
      plan.s_pixel = kConvBlock;
      plan.s_phase = columns * kConvBlock;
      plan.s_row = phases * plan.s_phase;
      plan.s_block = in_rows * plan.s_row;
      plan.s_image = plan.blocks * plan.s_block;
      break;
    case ConvPlan::Layout::InPlace:
      plan.s_pixel = plan.in_pixel;
      plan.s_row = plan.in_w * plan.s_pixel;
      plan.s_image = plan.in_h * plan.s_row;
      plan.scratch = 0;
      return;
    case ConvPlan::Layout::ImagesInnermost:
      plan.s_image = kConvBlock;
      plan.s_pixel = plan.window_images * kConvBlock;
      plan.s_phase = columns * plan.s_pixel;
      plan.s_row = phases * plan.s_phase;
      plan.s_block = in_rows * plan.s_row;
      break;
  }
  plan.scratch = scratch_of(plan, plan.window_images, plan.window_rows, plan.window_columns);
}

/// What a plan is asked for. `like`, where not null, says how large its windows are.
struct Request {
  size_t element;
  ConvUse use;
  ConvReading reading;
  int64_t scratch_bytes = kScratchBytes;
  const ConvWindow* like = nullptr;
};

struct Entry {
  int64_t offset, weight, channels;
  ConvInside inside;
};

/// Outputs i in [0, count) with 0 <= i step + offset < size.
std::pair<int64_t, int64_t> inside_of(int64_t count, int64_t step, int64_t offset, int64_t size) {
  const int64_t lo = offset >= 0 ? 0 : ceil_div(-offset, step);
  const int64_t hi = offset >= size ? 0 : (size - 1 - offset) / step + 1;
  return {std::min(lo, count), std::clamp(hi, std::min(lo, count), count)};
}

ConvInside inside_of(const ConvPlan& plan, const ConvPhase& phase, const ConvTap& tap) {
  const auto [row_lo, row_hi] = inside_of(phase.rows, plan.step_h, tap.du, plan.in_h);
  const auto [column_lo, column_hi] = inside_of(phase.columns, plan.step_w, tap.dv, plan.in_w);
  return {row_lo, row_hi, column_lo, column_hi};
}

int64_t offset_of(const ConvPlan& plan, const ConvTap& tap) {
  const int64_t u = tap.du - plan.u_min, v = tap.dv - plan.v_min;
  if (plan.layout == ConvPlan::Layout::Contiguous) return u * plan.s_row + v * plan.s_pixel;
  const auto phase = std::find(plan.column_phases.begin(), plan.column_phases.end(), v % plan.step_w);
  return u * plan.s_row + (phase - plan.column_phases.begin()) * plan.s_phase +
         v / plan.step_w * plan.s_pixel;
}

std::vector<Entry> entries_of(const ConvPlan& plan, const ConvPhase& phase) {
  std::vector<Entry> entries;
  if (plan.layout == ConvPlan::Layout::Contiguous) {
    for (size_t i = 0; i < phase.taps.size(); ++i) {
      const ConvTap& tap = phase.taps[i];
      if (i > 0 && tap.du == phase.taps[i - 1].du) {
        entries.back().channels += plan.in_c;
      } else {
        entries.push_back({offset_of(plan, tap), tap.index * plan.tap_step, plan.in_c, {}});
      }
    }
    return entries;
  }
  if (plan.layout == ConvPlan::Layout::InPlace) {  // any piece of a pixel's channels can be an entry
    for (int64_t c = 0; c < plan.in_c && !phase.taps.empty(); c += kInPlaceEntry) {
      entries.push_back({c, c * plan.c_step, std::min(kInPlaceEntry, plan.in_c - c), {}});
    }
    return entries;
  }
  for (int64_t b = 0; b < plan.blocks; ++b) {
    const int64_t channels = std::min(kConvBlock, plan.in_c - b * kConvBlock);
    for (const ConvTap& tap : phase.taps) {
      entries.push_back({offset_of(plan, tap) + b * plan.s_block,
                         tap.index * plan.tap_step + b * kConvBlock * plan.c_step, channels,
                         inside_of(plan, phase, tap)});
    }
  }
  return entries;
}

/// Whether no tap of a line reads padding only; lines are rows, or pixels where `by_column`.
bool all_inside(const ConvPhase& phase, const std::vector<Entry>& entries, bool by_column) {
  return std::all_of(entries.begin(), entries.end(), [&](const Entry& entry) {
    const ConvInside& in = entry.inside;
    return in.row_lo == 0 && in.row_hi == phase.rows &&
           (!by_column || (in.column_lo == 0 && in.column_hi == phase.columns));
  });
}

/// Groups the entries into runs of at most `most` entries of one channel count.
void add_entries(const ConvPlan& plan, ConvPhase& phase, const std::vector<Entry>& entries, int64_t most) {
  using Layout = ConvPlan::Layout;
  const bool padded = plan.layout == Layout::Blocked || plan.layout == Layout::ImagesInnermost;
  const bool all = !padded || all_inside(phase, entries, plan.layout == Layout::ImagesInnermost);
  for (const Entry& entry : entries) {
    if (!all) phase.inside.push_back(entry.inside);
    phase.offsets.push_back(entry.offset);
    phase.weights.push_back(entry.weight);
    phase.starts.push_back(phase.reduction);
    phase.reduction += entry.channels;
    const bool fresh =
        phase.runs.empty() || phase.runs.back().channels != entry.channels || phase.runs.back().count == most;
    if (fresh) phase.runs.push_back({static_cast<int64_t>(phase.offsets.size()) - 1, 0, entry.channels});
    ++phase.runs.back().count;
  }
}

void finish(ConvPlan& plan, const Request& request) {
  const ConvUse use = request.use;
  find_extent(plan);
  plan.blocks = ceil_div(plan.in_c, kConvBlock);
  if (plan.layout == ConvPlan::Layout::InPlace) {
    const bool apart = use == ConvUse::WeightGradient && plan.in_pixel > kInPlaceChannels;
    if (use == ConvUse::Depthwise || request.reading == ConvReading::Copied || apart) {
      plan.layout = ConvPlan::Layout::Blocked;
    }
    if (plan.columns < kNarrow && plan.images > 1) plan.layout = ConvPlan::Layout::ImagesInnermost;
  } else if (use != ConvUse::Depthwise && fits_contiguous(plan)) {
    plan.layout = ConvPlan::Layout::Contiguous;
  } else if (plan.columns < kNarrow && plan.images > 1) {
    plan.layout = ConvPlan::Layout::ImagesInnermost;
  }
  if (plan.layout == ConvPlan::Layout::InPlace) plan.blocks = ceil_div(plan.in_c, kInPlaceEntry);
  cut(plan, request.element, request.scratch_bytes);
  if (request.like != nullptr) {
    plan.window_images = request.like->images;
    plan.window_rows = request.like->rows;
    plan.window_columns = request.like->columns;
  }
  lay_out(plan);
  const int64_t tile_bytes = plan.out_c * static_cast<int64_t>(request.element) > conv_vector_bytes()
                                 ? 2 * conv_vector_bytes()
                                 : conv_vector_bytes();
  const int64_t entry_bytes =
      tile_bytes * (plan.layout == ConvPlan::Layout::InPlace ? kInPlaceEntry : kConvBlock);
  for (ConvPhase& phase : plan.phases) {
    const int64_t most = use == ConvUse::Tiles
                             ? std::clamp<int64_t>(kRunBytes / entry_bytes, 1, kConvRunEntries)
                             : std::max<int64_t>(phase.taps.size(), 1);
    add_entries(plan, phase, entries_of(plan, phase), most);
    phase.packed_first = plan.reduction;
    plan.reduction += phase.reduction;
  }
}

/// One input pixel per output pixel: nothing needs to be copied.
bool is_pointwise(const ConvShape& s) {
  return s.taps() == 1 && s.geometry.pad_h == 0 && s.geometry.pad_w == 0;
}
/// A pointwise convolution that skips no pixel is a product of matrices: one long row of pixels.
void flatten(const ConvShape& s, ConvPlan& plan, ConvPhase& phase) {
  plan.layout = ConvPlan::Layout::InPlace;
  if (s.geometry.stride_h != 1 || s.geometry.stride_w != 1) return;
  const int64_t pixels = plan.images * plan.in_h * plan.in_w;
  plan.images = plan.in_h = plan.out_h = phase.rows = 1;
  plan.in_w = plan.out_w = phase.columns = phase.y_row = plan.out_pixels = pixels;
}

ConvPlan forward(const ConvShape& s, const Request& request) {
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
  finish(plan, request);
  return plan;
}

ConvPlan backward_data(const ConvShape& s, const Request& request) {
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
      phase.rows = ceil_div(s.h - a, g.stride_h);
      phase.columns = ceil_div(s.w - b, g.stride_w);
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
  finish(plan, request);
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

ConvPlan plan_forward(const ConvShape& shape, size_t element, ConvUse use, ConvReading reading) {
  return forward(shape, {element, use, reading});
}
ConvPlan plan_backward_data(const ConvShape& shape, size_t element, ConvUse use, ConvReading reading) {
  return backward_data(shape, {element, use, reading});
}

std::optional<ConvPlanPair> plan_backward(const ConvShape& shape, size_t element, ConvReading reading) {
  Request of_data{element, ConvUse::Tiles, ConvReading::Copied, kPairBytes};
  Request of_weight{element, ConvUse::WeightGradient, reading, kPairBytes};
  ConvPlanPair pair{backward_data(shape, of_data), forward(shape, of_weight)};
  ConvPlan &data = pair.data, &weight = pair.weight;
  const bool same_pixels =
      data.images == weight.images && data.rows == weight.rows && data.columns == weight.columns;
  const bool same_order = (data.layout == ConvPlan::Layout::ImagesInnermost) ==
                          (weight.layout == ConvPlan::Layout::ImagesInnermost);
  const bool holds_dy = data.layout != ConvPlan::Layout::Contiguous && data.u_min <= 0 && data.v_min <= 0 &&
                        data.u_min + data.u_span >= 0 && data.v_min + data.v_span >= 0;
  if (!same_pixels || !same_order || !holds_dy) return std::nullopt;
  ConvWindow window;
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
  return std::max<int64_t>(windows() / kTasks, 1);
}

int64_t ConvPlan::windows() const {
  return ceil_div(images, window_images) * ceil_div(rows, window_rows) * ceil_div(columns, window_columns);
}

ConvWindow ConvPlan::window(int64_t index) const {
  const int64_t across = ceil_div(columns, window_columns), down = ceil_div(rows, window_rows);
  ConvWindow box;
  box.column = index % across * window_columns;
  box.columns = std::min(window_columns, columns - box.column);
  box.row = index / across % down * window_rows;
  box.rows = std::min(window_rows, rows - box.row);
  box.image = index / across / down * window_images;
  box.images = std::min(window_images, images - box.image);
  return box;
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
  if (layout == Layout::Contiguous || layout == Layout::InPlace) lines.x_pixel = step_w * s_pixel;
  if (layout == Layout::ImagesInnermost) {
    lines.outer = phase_rows;
    lines.inner = phase_columns;
    lines.length = box.images;
    lines.x_outer = step_h * s_row;
    lines.x_inner = s_pixel;
    lines.y_outer = phase.y_row * out_pixel;
    lines.y_inner = phase.y_column * out_pixel;
    lines.y_pixel = out_pixels * out_pixel;
  } else {
    lines.outer = box.images;
    lines.inner = phase_rows;
    lines.length = phase_columns;
    lines.x_outer = s_image;
    lines.x_inner = step_h * s_row;
    lines.y_outer = out_pixels * out_pixel;
    lines.y_inner = phase.y_row * out_pixel;
    lines.y_pixel = phase.y_column * out_pixel;
  }
  return lines;
}

}  // namespace lathe::cpu
