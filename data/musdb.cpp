#include "data/musdb.h"

#include <algorithm>
#include <functional>
#include <span>

#include "core/error.h"
#include "core/hash.h"
#include "data/sound_file.h"

namespace lathe {
namespace {

constexpr int64_t kBlock = 1 << 16;  // samples read at once

std::filesystem::path file_of(const std::filesystem::path& track, const std::string& stem) {
  return track / (stem + ".wav");
}

/// "bass.wav mixture.wav": what a folder holds.
std::string listing(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  constexpr size_t kMost = 8;
  std::string text;
  for (size_t i = 0; i < std::min(kMost, names.size()); ++i) text += (i > 0 ? " " : "") + names[i];
  if (names.size() > kMost) text += " ...";
  return text.empty() ? "nothing" : text;
}

void check_format(const std::filesystem::path& path, const SoundFormat& found, const MusdbFormat& expected) {
  LATHE_CHECK(DataError, found.rate == expected.rate, path.string(), ": the sample rate is ", found.rate,
              " Hz, expected ", expected.rate, "; convert the files, or say \"sample_rate\": ", found.rate);
  LATHE_CHECK(DataError, found.channels == expected.channels, path.string(), ": ", found.channels,
              " channels, expected ", expected.channels);
}

class Musdb : public SoundSet {
 public:
  void read_mixture(size_t track, int64_t from, int64_t count, float* to) const override {
    SoundReader(file_of(folders[track], "mixture")).read(from, count, to);
  }
  void read_source(size_t track, size_t source, int64_t from, int64_t count, float* to) const override {
    SoundReader(file_of(folders[track], sources[source])).read(from, count, to);
  }

  void add(const std::filesystem::path& folder, const MusdbFormat& format, Hash& hash) {
    for (const std::string& stem : sources) {
      const auto path = file_of(folder, stem);
      LATHE_CHECK(DataError, std::filesystem::exists(path), path.string(), ": the source '", stem,
                  "' is missing, found ", listing(folder));
    }
    const auto path = file_of(folder, "mixture");
    LATHE_CHECK(DataError, std::filesystem::exists(path), path.string(), ": the mixture is missing, found ",
                listing(folder));
    SoundReader mixture(path);
    check_format(path, mixture.format(), format);
    const int64_t length = mixture.format().samples;
    for (const std::string& stem : sources) {
      const SoundReader source(file_of(folder, stem));
      check_format(file_of(folder, stem), source.format(), format);
      LATHE_CHECK(DataError, source.format().samples == length, file_of(folder, stem).string(), ": ",
                  source.format().samples, " samples, the mixture has ", length);
    }
    SoundStatistics statistics(format.channels);
    std::vector<float> block(static_cast<size_t>(kBlock * format.channels));
    const std::string name = folder.filename().string();
    hash.add(std::as_bytes(std::span(name)));
    for (int64_t from = 0; from < length; from += kBlock) {
      const int64_t count = std::min(kBlock, length - from);
      mixture.read(from, count, block.data());
      statistics.add(block.data(), count);
      hash.add(std::as_bytes(std::span(block).first(static_cast<size_t>(count * format.channels))));
    }
    folders.push_back(folder);
    tracks.push_back({name, length, statistics.mean(), statistics.std()});
  }

  std::vector<std::filesystem::path> folders;
};

void copy_to_file(const std::filesystem::path& path, const SoundSet& set, int64_t samples,
                  const std::function<void(int64_t from, int64_t count, float* to)>& read) {
  SoundWriter writer(path, {.samples = samples, .channels = set.channels, .rate = set.rate},
                     SampleFormat::Float32);
  std::vector<float> block(static_cast<size_t>(kBlock * set.channels));
  for (int64_t from = 0; from < samples; from += kBlock) {
    const int64_t count = std::min(kBlock, samples - from);
    read(from, count, block.data());
    writer.write(block.data(), count);
  }
  writer.close();
}

}  // namespace

std::unique_ptr<SoundSet> open_musdb(const std::filesystem::path& root, std::string_view split,
                                     const MusdbFormat& format, int64_t most_tracks) {
  const std::filesystem::path folder = root / split;
  LATHE_CHECK(DataError, std::filesystem::is_directory(folder), folder.string(),
              ": there is no such folder; expected one folder a track, with mixture.wav and a file a source");
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_directory()) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  LATHE_CHECK(DataError, !found.empty(), folder.string(), ": no tracks; expected one folder each, with ",
              "mixture.wav and a file a source");
  if (static_cast<int64_t>(found.size()) > most_tracks) found.resize(static_cast<size_t>(most_tracks));
  auto set = std::make_unique<Musdb>();
  set->type = "musdb";
  set->split = split;
  set->sources = format.sources;
  set->rate = format.rate;
  set->channels = format.channels;
  Hash hash;
  for (const auto& track : found) set->add(track, format, hash);
  set->content_hash = hash.hex();
  return set;
}

std::vector<std::filesystem::path> musdb_files(const std::filesystem::path& root, const SoundSet& set) {
  std::vector<std::filesystem::path> files;
  for (const SoundTrack& track : set.tracks) {
    const std::filesystem::path folder = root / set.split / track.name;
    files.push_back(file_of(folder, "mixture"));
    for (const std::string& source : set.sources) files.push_back(file_of(folder, source));
  }
  return files;
}

void write_musdb(const std::filesystem::path& root, const SoundSet& set) {
  for (size_t track = 0; track < set.tracks.size(); ++track) {
    const std::filesystem::path folder = root / set.split / set.tracks[track].name;
    std::filesystem::create_directories(folder);
    const int64_t samples = set.tracks[track].samples;
    copy_to_file(file_of(folder, "mixture"), set, samples,
                 [&](int64_t from, int64_t count, float* to) { set.read_mixture(track, from, count, to); });
    for (size_t source = 0; source < set.sources.size(); ++source) {
      copy_to_file(
          file_of(folder, set.sources[source]), set, samples,
          [&](int64_t from, int64_t count, float* to) { set.read_source(track, source, from, count, to); });
    }
  }
}

}  // namespace lathe
