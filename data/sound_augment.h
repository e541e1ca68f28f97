#pragma once
// Augmentations of music (models.md of demucs' recipes): every source of a sample on its own.

#include <cstdint>
#include <functional>
#include <span>

#include "core/batch.h"
#include "core/registry.h"

namespace lathe {

/// What a list of augmentations asks for; they commute, apart from `remix`, which comes last.
struct SoundAugments {
  int64_t shift = 0;         ///< samples by which a source may begin later
  double flip_sign = 0;      ///< chance
  double flip_channels = 0;  ///< chance of the first two channels changing places
  double gain_lo = 1, gain_hi = 1;
  int64_t remix = 0;  ///< sources change items within groups of this many samples of a batch
};

/// One source of one sample: pure functions of (seed, epoch, index, source).
struct SoundDraw {
  int64_t shift = 0;  ///< in [0, SoundAugments::shift]
  bool flip_channels = false;
  float gain = 1;  ///< sign included
};
SoundDraw draw_sound(const SoundAugments& augments, uint64_t seed, uint32_t epoch, int64_t index,
                     int64_t source, int64_t sources);

/// Permutes each source over the items of each group: targets (N, T, S, C) in place, a pure function of
/// (seed, epoch, number of the batch).
void remix_sources(Tensor& targets, int64_t group, uint64_t seed, uint32_t epoch, int64_t number);

/// mixture (T, C) = the sum of sources (T, S, C), in their order.
void sum_sources(std::span<float> mixture, std::span<const float> sources, int64_t count, int64_t channels);

/// "shift", "flip_sign", "flip_channels", "gain", "remix": each writes its part.
using SoundAugmentRegistry = Registry<std::function<void(SoundAugments&)>>;
const SoundAugmentRegistry& sound_augment_registry();

/// Reads "augment"; ConfigError also for one that is given twice.
SoundAugments read_sound_augments(const Value& list, const FieldPath& where);
/// The list with all defaults; anything that is no list is returned as it is.
Value resolve_sound_augments(const Value& list, const FieldPath& where);

}  // namespace lathe
