// The reduction of a convolution's plan: one entry per tap and block of channels, and the runs of them that a
// micro-kernel takes at a time; Note [Convolution tiling].

#include <algorithm>
#include <utility>

#include "core/cpu/conv_plan_build.h"

namespace lathe::cpu {
namespace {

constexpr int64_t kRunBytes = 144 * 1024;  // of packed weights in L2 at a time: 8 blocks of 3x3 taps

struct Entry {
  int64_t offset, weight, channels;
  ConvInside inside;
};

/// Outputs i in [0, count) with 0 <= i step + offset < size.
std::pair<int64_t, int64_t> inside_of(int64_t count, int64_t step, int64_t offset, int64_t size) {
  const int64_t lo = offset >= 0 ? 0 : chunk_count(-offset, step);
  const int64_t hi = offset >= size ? 0 : (size - 1 - offset) / step + 1;
  return {std::min(lo, count), std::clamp(hi, std::min(lo, count), count)};
}

ConvInside inside_of(const ConvPlan& plan, const ConvPhase& phase, const ConvTap& tap) {
  const auto [row_lo, row_hi] = inside_of(phase.rows, plan.step_h, tap.du, plan.in_h);
  const auto [column_lo, column_hi] = inside_of(phase.columns, plan.step_w, tap.dv, plan.in_w);
  return {row_lo, row_hi, column_lo, column_hi};
}

int64_t offset_of(const ConvPlan& plan, const ConvTap& tap) {
  if (plan.layout == ConvPlan::Layout::Unpadded) return tap.du * plan.s_row + tap.dv * plan.s_pixel;
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
      entries.push_back({offset_of(plan, tap) + b % plan.group_blocks * plan.s_block,
                         tap.index * plan.tap_step + b * kConvBlock * plan.c_step, channels,
                         inside_of(plan, phase, tap)});
    }
  }
  return entries;
}

/// Whether no tap of a line reads padding only; lines are rows, or pixels where `columns` count.
bool all_inside(const ConvPhase& phase, const std::vector<Entry>& entries, bool columns) {
  return std::all_of(entries.begin(), entries.end(), [&](const Entry& entry) {
    const ConvInside& in = entry.inside;
    return in.row_lo == 0 && in.row_hi == phase.rows &&
           (!columns || (in.column_lo == 0 && in.column_hi == phase.columns));
  });
}

/// Puts the entries into runs of at most `most` entries of one channel count; no run is part of two groups.
void add_entries(const ConvPlan& plan, ConvPhase& phase, const std::vector<Entry>& entries, int64_t most) {
  using Layout = ConvPlan::Layout;
  const bool columns = plan.layout == Layout::ImagesInnermost || plan.layout == Layout::Unpadded;
  const bool all = (plan.layout != Layout::Blocked && !columns) || all_inside(phase, entries, columns);
  const size_t group = plan.block_groups() == 1 ? std::max<size_t>(entries.size(), 1)
                                                : static_cast<size_t>(plan.group_blocks) * phase.taps.size();
  for (size_t i = 0; i < entries.size(); ++i) {
    const Entry& entry = entries[i];
    if (!all) phase.inside.push_back(entry.inside);
    phase.offsets.push_back(entry.offset);
    phase.weights.push_back(entry.weight);
    phase.starts.push_back(phase.reduction);
    phase.reduction += entry.channels;
    if (i % group == 0) phase.group_runs.push_back(static_cast<int64_t>(phase.runs.size()));
    if (i % group == 0 || phase.runs.back().channels != entry.channels || phase.runs.back().count == most) {
      phase.runs.push_back({static_cast<int64_t>(i), 0, entry.channels});
    }
    ++phase.runs.back().count;
  }
  phase.group_runs.resize(static_cast<size_t>(plan.block_groups()) + 1,
                          static_cast<int64_t>(phase.runs.size()));
}

}  // namespace

void conv_add_entries(ConvPlan& plan, const ConvRequest& request) {
  const int64_t vectors = plan.out_c * static_cast<int64_t>(request.element) > conv_vector_bytes() ? 2 : 1;
  const int64_t channels = plan.layout == ConvPlan::Layout::InPlace ? kInPlaceEntry : kConvBlock;
  const int64_t entry_bytes = vectors * conv_vector_bytes() * channels;
  for (ConvPhase& phase : plan.phases) {
    const int64_t most = request.use == ConvUse::Tiles
                             ? std::clamp<int64_t>(kRunBytes / entry_bytes, 1, kConvRunEntries)
                             : std::max<int64_t>(phase.taps.size(), 1);
    add_entries(plan, phase, entries_of(plan, phase), most);
    phase.packed_first = plan.reduction;
    plan.reduction += phase.reduction;
  }
}

}  // namespace lathe::cpu
