#pragma once
// The built-in music: four instruments that differ in what they are made of, drawn by numbers, so that a
// fresh clone has something real to separate.

#include <memory>

#include "data/sound_set.h"

namespace lathe {

struct TonesSize {
  int64_t tracks = 8;
  int64_t samples = 48000;  ///< of each track
  int64_t rate = 8000, channels = 2;
};

/// Tracks of `drums` (decaying thumps and noise), `bass` (low notes with odd harmonics), `other` (triads of
/// triangle waves) and `vocals` (a melody with vibrato and rests). Track i is a function of (seed, split, i)
/// alone: the same on every machine and for any thread count. Held in memory.
std::unique_ptr<SoundSet> generate_tones(const TonesSize& size, uint64_t seed, std::string_view split);

}  // namespace lathe
