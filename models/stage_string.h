#pragma once
// Stages of an EfficientNet as timm writes them: "ir_r2_k3_s2_e6_c24_se0.25".

#include <cstdint>
#include <string>

namespace lathe {

struct StageSpec {
  bool inverted = true;  ///< "ir", an inverted residual; else "ds", depthwise separable
  int64_t repeats = 1;   ///< r
  int64_t kernel = 3;    ///< k, odd
  int64_t stride = 1;    ///< s, of the first block
  double expand = 1;     ///< e; 1 in a "ds" stage
  int64_t channels = 0;  ///< c, before any width multiplier
  double squeeze = 0;    ///< se, per input channel of a block; 0: none
};

/// ConfigError that names the stage and what is wrong with it.
StageSpec parse_stage(const std::string& text);

/// channels * multiplier to the nearest multiple of 8, at least 8 and at least 90 % of it.
int64_t scaled_channels(int64_t channels, double multiplier);
/// repeats * multiplier, rounded up.
int64_t scaled_repeats(int64_t repeats, double multiplier);

}  // namespace lathe
