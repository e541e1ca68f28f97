#include "data/sound_registry.h"

#include <algorithm>

#include "core/json.h"
#include "data/musdb.h"
#include "data/sounds.h"
#include "data/source.h"
#include "data/split_entry.h"
#include "data/tones.h"

namespace lathe {
namespace {

struct MusdbOptions {
  std::string root = "data/musdb";
  std::vector<std::string> sources{"drums", "bass", "other", "vocals"};
  int64_t sample_rate = 44100, channels = 2;
  SoundOptions sounds;
  void fields(FieldVisitor& v) {
    v.visit("root", root, {.doc = "folder with train/TRACK/mixture.wav, drums.wav, ... and test/..."});
    v.visit("sources", sources, {.doc = "file names of the sources, in the model's order"});
    v.visit("sample_rate", sample_rate, {.doc = "that every file must have", .min = 1, .max = 1e6});
    v.visit("channels", channels, {.doc = "that every file must have", .min = 1, .max = 64});
    sounds.fields(v);
  }
};

struct TonesOptions {
  int64_t train = 8, test = 2;
  int64_t track_samples = 48000;
  int64_t sample_rate = 8000, channels = 2;
  int64_t seed = 1;
  SoundOptions sounds;
  void fields(FieldVisitor& v) {
    v.visit("train", train, {.doc = "training tracks", .min = 1, .max = 1e4});
    v.visit("test", test, {.doc = "test tracks", .min = 1, .max = 1e4});
    v.visit("track_samples", track_samples, {.doc = "samples of each track", .min = 1, .max = 1e8});
    v.visit("sample_rate", sample_rate, {.doc = "samples a second", .min = 1000, .max = 1e6});
    v.visit("channels", channels, {.doc = "1 or 2", .min = 1, .max = 2});
    v.visit("seed", seed, {.doc = "of the music; the run's seed does not change it", .min = 0});
    sounds.fields(v);
  }
};

// Each is a file of its own beside the mixture.
void check_sources(const std::vector<std::string>& sources, const FieldPath& where) {
  if (sources.empty()) config_error(where, 0, "expected at least one source");
  for (size_t i = 0; i < sources.size(); ++i) {
    const std::string& name = sources[i];
    const auto refuse = [&](const char* expected) {
      config_error(where[i], 0, concat("expected ", expected, ", found ", to_json(Value::string(name))));
    };
    const bool folder = name == "." || name == ".." || name.find_first_of("/\\") != std::string::npos;
    if (name.empty() || folder || name.find('\0') != std::string::npos)
      refuse("the name of a file without \".wav\"");
    if (name == "mixture") refuse("a source, which the mixture is made of");
    const auto here = sources.begin() + static_cast<ptrdiff_t>(i);
    if (std::find(sources.begin(), here, name) != here) refuse("each source once");
  }
}

// A data set of sound: `open` gives a split's tracks, at most so many.
template <class Options, class Open>
SplitRegistry::Entry sound_entry(std::string name, std::string doc, const Options& defaults, Open open) {
  return with_augment(
      split_entry(
          std::move(name), std::move(doc), defaults,
          [open](const Options& options, const FieldPath& where, const std::string& split, uint64_t seed) {
            const int64_t most = split == "test" ? options.sounds.common.limited(split, kNoLimit) : kNoLimit;
            return std::make_unique<SoundDataset>(open(options, where, split, most), options.sounds, where,
                                                  seed);
          }),
      sound_augment_registry(), &resolve_sounds);
}

SoundOptions short_sounds() {
  SoundOptions options;
  options.samples = 16000;
  return options;
}

}  // namespace

std::vector<SplitRegistry::Entry> sound_entries() {
  return {
      sound_entry("musdb", "music and its sources as WAV files in MUSDB18's layout", MusdbOptions{},
                  [](const MusdbOptions& o, const FieldPath& where, const std::string& split, int64_t most) {
                    check_sources(o.sources, where / "sources");
                    return open_musdb(o.root, split, {o.sources, o.sample_rate, o.channels}, most);
                  }),
      sound_entry("tones", "generated music of four instruments, nothing to download",
                  TonesOptions{.sounds = short_sounds()},
                  [](const TonesOptions& o, const FieldPath&, const std::string& split, int64_t most) {
                    const int64_t tracks = split == "train" ? o.train : o.test;
                    return generate_tones(
                        {std::min(tracks, most), o.track_samples, o.sample_rate, o.channels},
                        static_cast<uint64_t>(o.seed), split);
                  }),
  };
}

}  // namespace lathe
