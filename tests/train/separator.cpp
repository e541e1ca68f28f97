// Sound files through a packed model alone.

#include "train/separator.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "core/allocator.h"
#include "core/json.h"
#include "models/registry.h"
#include "tests/support/scratch.h"
#include "train/packing.h"

using namespace lathe;

namespace {

constexpr int64_t kRate = 2000;

// A model of two stereo sources as a packed file.
std::filesystem::path write_model(const std::filesystem::path& folder) {
  PackedHeader header;
  header.name = "separator";
  header.model = parse_json(R"({"type": "demucs", "sources": 2, "channels": 4, "depth": 2,
                               "lstm_layers": 1})",
                            "test");
  header.data = parse_json(R"({"type": "tones", "sample_rate": 2000})", "test");
  header.loss = parse_json(R"({"type": "l1"})", "test");
  const auto model = model_registry().build(header.model, {}, {.seed = 1});
  write_packed(folder / "model.lathe", pack_model(to_value(header), *model));
  return folder / "model.lathe";
}

// So many seconds of a slide and its echo; of silence with `loudness` 0.
std::filesystem::path write_song(const std::filesystem::path& file, int64_t seconds, int64_t rate,
                                 double loudness = 0.5) {
  SoundWriter writer(file, {.channels = 2, .rate = rate}, SampleFormat::Int16);
  std::vector<float> second(static_cast<size_t>(2 * rate));
  for (int64_t s = 0; s < seconds; ++s) {
    for (size_t i = 0; i < second.size(); ++i)
      second[i] = static_cast<float>(loudness * std::sin(static_cast<double>(i * i % 977)));
    writer.write(second.data(), rate);
  }
  writer.close();
  return file;
}

size_t peak_of(Separator& separator, const std::filesystem::path& song, const std::filesystem::path& stems) {
  host_allocator::trim();
  host_allocator::reset_peak();
  const size_t before = host_allocator::stats().live_bytes;
  separator.separate(song, stems, {.segment_seconds = 2});
  return host_allocator::stats().peak_live_bytes - before;
}

}  // namespace

TEST_SUITE_BEGIN("sound");

TEST_CASE("a song of any length takes the tensors of one segment") {
  const tests::ScratchFolder folder;
  Separator separator(write_model(folder.path()));
  for (const int64_t rate : {kRate, int64_t{3000}}) {
    CAPTURE(rate);
    const auto short_song = write_song(folder / concat("short", rate, ".wav"), 10, rate),
               long_song = write_song(folder / concat("long", rate, ".wav"), 90, rate);
    const size_t once = peak_of(separator, short_song, folder / concat("short", rate)),
                 again = peak_of(separator, long_song, folder / concat("long", rate));
    CHECK(again < once + once / 2);    // a cached block serves requests down to half its size
    CHECK(again < (size_t{2} << 20));  // the long song and its stems would be 4 MiB
    for (const char* stem : {"source-0.wav", "source-1.wav"}) {
      const SoundReader reader(folder / concat("long", rate) / stem);
      CHECK(reader.format().samples == 90 * kRate);
      CHECK(reader.format().rate == kRate);
      CHECK(reader.format().channels == 2);
    }
  }
}

TEST_CASE("silence and a song shorter than a segment have stems of their length") {
  const tests::ScratchFolder folder;
  Separator separator(write_model(folder.path()));
  for (const double loudness : {0.0, 0.5}) {
    const auto song = write_song(folder / "song.wav", 1, kRate, loudness);
    const auto stems =
        separator.separate(song, folder / "stems", {.samples = SampleFormat::Float32, .overwrite = true});
    REQUIRE(stems.size() == 2);
    for (const auto& stem : stems) {
      SoundReader reader(stem);
      REQUIRE(reader.format().samples == kRate);
      std::vector<float> samples(static_cast<size_t>(2 * kRate));
      reader.read(0, kRate, samples.data());
      CHECK(std::all_of(samples.begin(), samples.end(), [](float x) { return std::isfinite(x); }));
    }
  }
}

TEST_SUITE_END();
