#include "tools/commands/run_sound.h"

#include <cstdio>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "train/separator.h"

namespace lathe::cli {

void add_sound_options(CLI::App& command, SoundRunArguments& arguments) {
  command.add_option("-o,--out", arguments.out,
                     "Music: folder for the stems, one below it a song where there are several (default: the "
                     "song's name, beside it)");
  command.add_option("--segment", arguments.segment, "Music: seconds that are separated at once")
      ->check(CLI::Range(0.1, 3600.0));
  command
      .add_option("--overlap", arguments.overlap, "Music: share of a segment that the next one covers too")
      ->check(CLI::Range(0.0, 0.95));
  command.add_option("--shifts", arguments.shifts, "Music: averages over so many shifts, slower and better")
      ->check(CLI::Range(int64_t{0}, int64_t{1000}));
  command.add_flag("--overwrite", arguments.overwrite, "Music: replaces stems that are there already");
  command.add_flag("--float", arguments.float_samples, "Music: stems as 32-bit floats, not 16-bit integers");
}

int run_sound(const Session& session, const std::string& model, const std::vector<std::string>& songs,
              const SoundRunArguments& arguments) {
  Separator separator(model, available_device(session.device));
  SeparatorOptions options;
  options.segment_seconds = arguments.segment;
  options.overlap = arguments.overlap;
  options.shifts = arguments.shifts;
  options.overwrite = arguments.overwrite;
  options.samples = arguments.float_samples ? SampleFormat::Float32 : SampleFormat::Int16;
  for (const std::string& song : songs) {
    const std::filesystem::path path(song);
    std::filesystem::path folder(arguments.out);
    if (arguments.out.empty()) {
      folder = path.parent_path() / path.stem();
    } else if (songs.size() > 1) {
      folder /= path.stem();
    }
    if (!session.quiet && !session.json)
      options.progress = [&](double share) { fmt::print(stderr, "{}: {:.0f} %\n", song, 100 * share); };
    const auto stems = separator.separate(path, folder, options);
    if (!session.json) {
      for (const auto& stem : stems) fmt::print("{}\n", stem.string());
      continue;
    }
    Value files = Value::object();
    for (size_t i = 0; i < stems.size(); ++i)
      files.set(separator.sources()[i], Value::string(stems[i].string()));
    print_json(Value::object({{"input", Value::string(song)},
                              {"sample_rate", Value::integer(separator.rate())},
                              {"stems", std::move(files)}}));
  }
  return kOk;
}

}  // namespace lathe::cli
