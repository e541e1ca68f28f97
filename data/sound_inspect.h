#pragma once
// What `lathe data` looks for in sets of sound.

#include <filesystem>
#include <string>
#include <vector>

#include "data/sound_set.h"

namespace lathe {

/// Reads every sample of every file; DataError for what cannot be read. Says what is formally right but
/// suspicious: silent sources and mixtures that are not the sum of their sources.
std::vector<std::string> look_at_sounds(const SoundSet& set);

/// Tracks of one set whose mixtures stand in another too, by name.
std::vector<std::string> shared_tracks(const SoundSet& train, const SoundSet& test);

}  // namespace lathe
