#pragma once
// The steps from a convolution's taps to its plan.

#include "core/cpu/conv_plan.h"

namespace lathe::cpu {

/// What a plan is asked for.
struct ConvRequest {
  size_t element;
  ConvUse use;
  ConvReading reading;
  bool pair = false;                 ///< its scratch is one of two that a task fills, all blocks at once
  const WindowSize* like = nullptr;  ///< where not null, how large its windows are
};

/// Layout, windows and scratch of a plan whose phases have their taps (conv_layout.cpp).
void conv_lay_out(ConvPlan& plan, const ConvRequest& request);
/// Then the entries, runs and groups of runs of each phase (conv_entries.cpp).
void conv_add_entries(ConvPlan& plan, const ConvRequest& request);

/// Channels of an entry that is read where it stands: any piece of a pixel's channels can be one.
inline constexpr int64_t kInPlaceEntry = 64;

}  // namespace lathe::cpu
