#pragma once
// Golden files of models that separate sound: their inputs and loss, and how demucs is applied to a track.

#include <filesystem>
#include <string>
#include <vector>

#include "autograd/var.h"
#include "core/value.h"
#include "tests/golden/result.h"

namespace lathe::golden {

inline constexpr std::string_view kDemucsEvalSchema = "demucs-eval-golden-v1";
inline constexpr std::string_view kSoundLoss = "L1 mean";
/// Tolerance in float64 of what resamples: the reference's filters are rounded to float32, ours to other last
/// bits.
inline constexpr double kFloatTables = 1e-6;

struct SoundInput {
  Tensor mixture;  ///< (N, T, C)
  Tensor sources;  ///< (N, T, S, C)
};
/// FormatError when the section is not of a mixture and its sources.
SoundInput read_sound(const Value& input, DType dtype);

/// Mean absolute difference from the sources, trimmed about their middle to the output's length.
Var sound_loss(const Var& output, const Tensor& sources);

/// (N, T, S, C) as the files have it, (N, S, C, T).
Tensor sound_in_file_order(const Tensor& output);

/// The whole protocol file, in float64: lengths, weights, runs over a track, first values.
std::vector<GoldenResult> run_demucs_eval(const Value& file, const std::string& name);

}  // namespace lathe::golden
