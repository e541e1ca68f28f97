#pragma once
// The part of `lathe run` that separates music.

#include <string>
#include <vector>

#include "tools/commands.h"

namespace lathe::cli {

struct SoundRunArguments {
  std::string out;      ///< folder; empty: beside each song, named after it
  double segment = 10;  ///< seconds
  double overlap = 0.25;
  int64_t shifts = 0;
  bool overwrite = false;
  bool float_samples = false;
};

/// Adds --out, --segment, --overlap, --shifts, --overwrite and --float.
void add_sound_options(CLI::App& command, SoundRunArguments& arguments);

/// Writes the stems of each song; an ExitCode.
int run_sound(const Session& session, const std::string& model, const std::vector<std::string>& songs,
              const SoundRunArguments& arguments);

}  // namespace lathe::cli
