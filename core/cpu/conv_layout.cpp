// Where a convolution's scratch has its pixels, and how large a task is; Note [Convolution tiling].

#include <algorithm>
#include <limits>

#include "core/cpu/conv_plan_build.h"

namespace lathe::cpu {
namespace {

constexpr int64_t kScratchBytes = 256 * 1024;  // of a task: half of a common L2
constexpr int64_t kPairBytes = 192 * 1024;     // of each of two scratches that a task fills
constexpr int64_t kTasks = 32;                 // wanted at least, so that threads share the work evenly
constexpr int64_t kPixels = 256;               // of a window, for the weights read per window
constexpr int64_t kHeavyBytes = 512 * 1024;    // of weights that take longer to read than images to copy
constexpr int64_t kHeavyTasks = 8;             // with them
constexpr int64_t kMinRows = 4;                // of a task: the halo would cost more than it helps
constexpr int64_t kMinColumns = 64;
constexpr int64_t kInnermostImages = 16;  // two tiles of 8
// Channels of an input whose weight gradient reads it in place, pointwise or strided: the lines of a block of
// more stand too far apart for L1.
constexpr int64_t kInPlaceChannels = 64;
constexpr int64_t kNarrow = 8;  // output columns that fill a tile

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
  plan.scratch_step_h = plan.u_span == 0 ? 1 : plan.step_h;
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

/// Whether an output pixel needs one input pixel only.
bool is_one_tap(const ConvPlan& plan) {
  return plan.u_span == 0 && plan.v_span == 0;
}

/// Rows of the scratch for `rows` of outputs; those between that no tap needs are left out.
int64_t scratch_rows(const ConvPlan& plan, int64_t rows) {
  return (rows - 1) * plan.scratch_step_h + plan.u_span + 1;
}

int64_t scratch_of(const ConvPlan& plan, int64_t images, int64_t rows, int64_t columns) {
  const int64_t in_rows = scratch_rows(plan, rows);
  if (plan.layout == ConvPlan::Layout::Contiguous) {
    return images * in_rows * ((columns - 1) * plan.step_w + plan.v_span + 1) * plan.in_c;
  }
  const int64_t in_columns = columns + plan.v_span / plan.step_w;
  return images * plan.blocks * in_rows * static_cast<int64_t>(plan.column_phases.size()) * in_columns *
         kConvBlock;
}

/// Whether the blocks of a window may be copied one group after another: for outputs, each of which is read
/// and written again per group.
bool may_group(const ConvPlan& plan, const ConvRequest& request) {
  using Layout = ConvPlan::Layout;
  return request.use == ConvUse::Tiles && !request.pair &&
         (plan.layout == Layout::Blocked || plan.layout == Layout::ImagesInnermost);
}

/// Images of a window that holds them whole.
int64_t images_of(const ConvPlan& plan, const ConvRequest& request, int64_t most) {
  const int64_t pixels = plan.rows * plan.columns;
  int64_t taps = 0;
  for (const ConvPhase& phase : plan.phases) taps += static_cast<int64_t>(phase.taps.size());
  const int64_t weight_bytes = taps * plan.in_c * plan.out_c * static_cast<int64_t>(request.element);
  const bool heavy = may_group(plan, request) && weight_bytes >= kHeavyBytes;
  const int64_t tasks = heavy ? kHeavyTasks : kTasks;
  int64_t images = 1;
  while (images * pixels < kPixels && images < plan.images / tasks &&
         (heavy || scratch_of(plan, images + 1, plan.rows, plan.columns) <= most)) {
    ++images;
  }
  return even_piece(plan.images, images);
}

/// Sizes of a task: scratch within bounds, and kTasks of them if the problem has that many.
void cut(ConvPlan& plan, const ConvRequest& request) {
  const int64_t most = (request.pair ? kPairBytes : kScratchBytes) / static_cast<int64_t>(request.element);
  int64_t columns = std::max<int64_t>(plan.columns, 1), rows = std::max<int64_t>(plan.rows, 1);
  const auto fits = [&] { return scratch_of(plan, 1, rows, columns) <= most; };
  if (plan.layout == ConvPlan::Layout::ImagesInnermost) {
    plan.window_images = even_piece(plan.images, kInnermostImages);
    plan.window_rows = rows;
    plan.window_columns = columns;
    return;
  }
  while (columns > kMinColumns && scratch_of(plan, 1, 1, columns) > most) columns = chunk_count(columns, 2);
  while (rows > 1 && !fits()) rows = chunk_count(rows, 2);
  const auto pieces = [&] { return chunk_count(plan.rows, rows) * chunk_count(plan.columns, columns); };
  while (plan.images * pieces() < kTasks && rows >= 2 * kMinRows) rows = chunk_count(rows, 2);
  while (plan.images * pieces() < kTasks && columns >= 2 * kMinColumns) columns = chunk_count(columns, 2);
  plan.window_rows = even_piece(plan.rows, rows);
  plan.window_columns = even_piece(plan.columns, columns);
  plan.window_images = pieces() == 1 ? images_of(plan, request, most) : 1;
}

/// As many blocks of a window as fit the scratch, all groups of nearly one size.
void group_blocks(ConvPlan& plan, const ConvRequest& request) {
  plan.group_blocks = plan.blocks;
  if (!may_group(plan, request) || plan.blocks == 0) return;
  const int64_t block =
      scratch_of(plan, plan.window_images, plan.window_rows, plan.window_columns) / plan.blocks;
  if (block == 0) return;  // no taps: nothing is copied
  plan.group_blocks =
      even_piece(plan.blocks, kScratchBytes / (block * static_cast<int64_t>(request.element)));
}

void lay_out(ConvPlan& plan) {
  const int64_t in_rows = scratch_rows(plan, plan.window_rows);
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
      plan.s_image = plan.group_blocks * plan.s_block;
      if (is_one_tap(plan)) {  // images side by side: their pixels make one line
        plan.s_image = plan.s_block;
        plan.s_block = plan.window_images * plan.s_image;
      }
      break;
    case ConvPlan::Layout::InPlace:
    case ConvPlan::Layout::Unpadded:
      plan.s_pixel = plan.in_pixel;
      plan.s_row = plan.in_w * plan.s_pixel;
      plan.s_image = plan.in_h * plan.s_row;
      plan.s_block = kConvBlock;
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
  if (plan.group_blocks < plan.blocks) plan.scratch = plan.scratch / plan.blocks * plan.group_blocks;
}

/// Whether a weight gradient reads the image itself: its few taps per pixel do not repay a copy, if pixels
/// are not too far apart.
bool reads_strided(const ConvPlan& plan, const ConvRequest& request) {
  return request.use == ConvUse::WeightGradient && request.reading == ConvReading::InPlace && !request.pair &&
         plan.step_w > 1 && !is_one_tap(plan) && plan.in_c % kConvBlock == 0 &&
         plan.in_pixel <= kInPlaceChannels;
}

void choose_layout(ConvPlan& plan, const ConvRequest& request) {
  using Layout = ConvPlan::Layout;
  const bool one_line = is_one_tap(plan) && plan.out_step_h == 1 && plan.out_step_w == 1 && !request.pair;
  const bool narrow = plan.columns < kNarrow && plan.images > 1 && !one_line;
  if (plan.layout == Layout::InPlace) {
    const bool apart = request.use == ConvUse::WeightGradient && plan.in_pixel > kInPlaceChannels;
    if (request.use == ConvUse::Depthwise || request.reading == ConvReading::Copied || apart) {
      plan.layout = Layout::Blocked;
    }
  } else if (request.use != ConvUse::Depthwise && fits_contiguous(plan)) {
    plan.layout = Layout::Contiguous;
    return;
  }
  if (narrow) {
    plan.layout = Layout::ImagesInnermost;
  } else if (plan.layout == Layout::Blocked && reads_strided(plan, request)) {
    plan.layout = Layout::Unpadded;
  }
}

}  // namespace

void conv_lay_out(ConvPlan& plan, const ConvRequest& request) {
  find_extent(plan);
  choose_layout(plan, request);
  const bool in_place = plan.layout == ConvPlan::Layout::InPlace;
  plan.blocks = chunk_count(plan.in_c, in_place ? kInPlaceEntry : kConvBlock);
  cut(plan, request);
  if (request.like != nullptr) {
    plan.window_images = request.like->images;
    plan.window_rows = request.like->rows;
    plan.window_columns = request.like->columns;
  }
  group_blocks(plan, request);
  lay_out(plan);
}

}  // namespace lathe::cpu
