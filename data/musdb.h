#pragma once
// MUSDB18's layout as WAV files: ROOT/train/TRACK/{mixture,drums,bass,other,vocals}.wav and ROOT/test/....

#include <filesystem>
#include <memory>
#include <vector>

#include "data/sound_set.h"

namespace lathe {

struct MusdbFormat {
  std::vector<std::string> sources;  ///< file names without ".wav"
  int64_t rate = 44100, channels = 2;
};

/// The tracks in the folder of a split, in the order of their names. Files are opened when they are read.
/// Every file's header is looked at: DataError naming the file for one that is missing, damaged or cut, or
/// of another rate, number of channels or length than expected. The content hash covers the mixtures'
/// samples and the sources' lengths.
std::unique_ptr<SoundSet> open_musdb(const std::filesystem::path& root, std::string_view split,
                                     const MusdbFormat& format, int64_t most_tracks);

/// Writes a set in this layout, samples as float32; IoError when that fails.
void write_musdb(const std::filesystem::path& root, const SoundSet& set);
/// The files that it writes.
std::vector<std::filesystem::path> musdb_files(const std::filesystem::path& root, const SoundSet& set);

}  // namespace lathe
