// Music: files, augmentation, the generated set.

#include "data/sounds.h"

#include <algorithm>
#include <numeric>
#include <span>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "core/parallel.h"
#include "data/loader.h"
#include "data/musdb.h"
#include "data/sound_file.h"
#include "data/tones.h"
#include "tests/support/scratch.h"

using namespace lathe;
using tests::ScratchFolder;

namespace {

constexpr TonesSize kSmall{.tracks = 3, .samples = 4000, .rate = 1000, .channels = 2};

std::unique_ptr<SoundDataset> small_set(const char* split, const char* augment = "[]", uint64_t seed = 1) {
  SoundOptions options;
  options.samples = 1000;
  options.augment = parse_json(augment, "test");
  return std::make_unique<SoundDataset>(generate_tones(kSmall, 1, split), options, FieldPath(), seed);
}

Batch batch_of(const Dataset& data, uint32_t epoch, int64_t size, int64_t number = 0) {
  Batch batch = data.allocate(size);
  for (int64_t i = 0; i < size; ++i) data.load(number * size + i, epoch, batch, i);
  data.finish(batch, epoch, number);
  return batch;
}

double sum_of_squares(const std::vector<float>& x) {
  return std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
}

void write_sound(const std::filesystem::path& path, const std::vector<float>& samples, int64_t channels,
                 int64_t rate, SampleFormat format = SampleFormat::Float32) {
  SoundWriter writer(path, {.channels = channels, .rate = rate}, format);
  writer.write(samples.data(), static_cast<int64_t>(samples.size()) / channels);
  writer.close();
}

}  // namespace

TEST_SUITE_BEGIN("sound");

TEST_CASE("a sound file is read back, whole and in parts; integers round and clip") {
  const ScratchFolder folder;
  const std::vector<float> samples = {0.25f, -0.5f, 0.1f, 0.2f, 1.5f, -1.5f};
  write_sound(folder / "float.wav", samples, 2, 8000);
  SoundReader reader(folder / "float.wav");
  CHECK(reader.format().samples == 3);
  CHECK(reader.format().channels == 2);
  CHECK(reader.format().rate == 8000);
  std::vector<float> part(4);
  reader.read(1, 2, part.data());
  CHECK(part == std::vector<float>(samples.begin() + 2, samples.end()));
  write_sound(folder / "short.wav", samples, 2, 8000, SampleFormat::Int16);
  std::vector<float> whole(6);
  SoundReader(folder / "short.wav").read(0, 3, whole.data());
  CHECK(whole == std::vector<float>{0.25f, -0.5f, 3277 / 32768.0f, 6554 / 32768.0f, 32767 / 32768.0f, -1.0f});
  CHECK_THROWS_AS(reader.read(2, 2, part.data()), ShapeError);
}

TEST_CASE("a sound that is not completed leaves no file") {
  const ScratchFolder folder;
  {
    SoundWriter writer(folder / "a.wav", {.channels = 1, .rate = 8000}, SampleFormat::Float32);
    const float sample = 0;
    writer.write(&sample, 1);
  }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("tones are the same every time, for any number of threads; their sources differ") {
  const int threads = num_threads();
  set_num_threads(1);
  const auto alone = generate_tones(kSmall, 1, "train");
  set_num_threads(3);
  const auto again = generate_tones(kSmall, 1, "train");
  set_num_threads(threads);
  CHECK(alone->content_hash == again->content_hash);
  CHECK(alone->content_hash == "da66afb3d3b38bc0");
  CHECK(alone->content_hash != generate_tones(kSmall, 2, "train")->content_hash);
  CHECK(alone->content_hash != generate_tones(kSmall, 1, "test")->content_hash);
  std::vector<float> mixture(8000), sum(8000), one(8000);
  alone->read_mixture(1, 0, 4000, mixture.data());
  for (size_t s = 0; s < 4; ++s) {
    alone->read_source(1, s, 0, 4000, one.data());
    CHECK(sum_of_squares(one) > 1);
    for (size_t i = 0; i < one.size(); ++i) sum[i] += one[i];
  }
  CHECK(mixture == sum);
}

TEST_CASE("training samples are stretches of tracks, normalised, their mixture the sum of the sources") {
  const auto data = small_set("train");
  CHECK(data->size() == 3 * 4);  // a second apart, the last begins at the third
  CHECK(data->info().task == DataTask::Separation);
  CHECK(data->info().sample == Shape{1000, 2});
  CHECK(data->info().class_names == std::vector<std::string>{"drums", "bass", "other", "vocals"});
  const Batch batch = batch_of(*data, 0, 6);
  std::vector<float> bass(2000);
  data->sounds().read_source(1, 1, 1000, 1000, bass.data());  // sample 5: the second track's second second
  const SoundTrack& track = data->sounds().tracks[1];
  const float* target = batch.targets[0].ptr<float>() + 5 * 1000 * 8;
  const float* input = batch.inputs[0].ptr<float>() + 5 * 1000 * 2;
  for (int64_t t = 0; t < 1000; ++t) {
    const double expected = (bass[static_cast<size_t>(2 * t + 1)] - track.mean) / track.std;
    CHECK(target[t * 8 + 3] == doctest::Approx(expected).epsilon(1e-4));
    CHECK(input[t * 2] == target[t * 8] + target[t * 8 + 2] + target[t * 8 + 4] + target[t * 8 + 6]);
  }
}

TEST_CASE("a test sample is a whole track with what it was normalised by") {
  const auto data = small_set("test");
  CHECK(data->size() == 3);
  const Batch batch = batch_of(*data, 0, 1);
  CHECK(batch.inputs[0].shape() == Shape{1, 4000, 2});
  CHECK(batch.targets[0].shape() == Shape{1, 4000, 4, 2});
  const float* by = batch.inputs[1].ptr<float>();
  std::vector<float> mixture(8000);
  data->sounds().read_mixture(0, 0, 4000, mixture.data());
  CHECK(batch.inputs[0].ptr<float>()[77] * by[1] + by[0] == doctest::Approx(mixture[77]).epsilon(1e-4));
  const std::span<const float> recorded = batch.inputs[2].span<float>();
  CHECK(std::vector<float>(recorded.begin(), recorded.end()) == mixture);
  std::vector<float> bass(8000), found(8000);
  data->sounds().read_source(0, 1, 0, 4000, bass.data());
  for (int64_t t = 0; t < 4000; ++t)
    std::copy_n(batch.targets[0].ptr<float>() + 8 * t + 2, 2, &found[static_cast<size_t>(2 * t)]);
  CHECK(found == bass);
}

TEST_CASE("options of sound that cannot be evaluated, or that no file has, are refused when they are read") {
  const auto refusal = [](const std::string& options) -> std::string {
    const Value section = parse_json(options, "test");
    try {
      const Value resolved = split_registry().resolve(section, {"", "data"});
      split_registry().build(resolved, {"", "data"}, "test", 1);
    } catch (const Error& error) {
      return error.brief();
    }
    return "accepted";
  };
  const std::string tones =
      R"({"type": "tones", "track_samples": 2000, "sample_rate": 1000, "samples": 500, )";
  CHECK(refusal(tones + R"("segment": 4, "overlap": 0.75})") == "accepted");
  CHECK(refusal(tones + R"("segment": 4, "overlap": 0.76})") ==
        "data.overlap: found 0.76, but segments of 4 samples must advance: expected at most 0.75");
  CHECK(refusal(tones + R"("segment": 1})").find("expected at most 0") != std::string::npos);
  CHECK(refusal(tones + R"("augment": [{"type": "shift", "samples": 9223372036854775807}]})")
            .find("data.augment[0].samples: expected an integer at least 1 and at most") !=
        std::string::npos);

  const std::string musdb = R"({"type": "musdb", "root": "nowhere", "sources": )";
  CHECK(refusal(musdb + R"(["a", "b"]})").find("nowhere") == 0);
  for (const char* name : {"", "a/b", "../a", "a\\\\b", ".", "..", "a\\u0000b"}) {
    CAPTURE(std::string(name));
    const std::string says = refusal(musdb + R"(["a", ")" + name + R"("]})");
    CHECK(says ==
          concat("data.sources[1]: expected the name of a file without \".wav\", found \"", name, "\""));
  }
  CHECK(refusal(musdb + R"(["a", "b", "a"]})") == R"(data.sources[2]: expected each source once, found "a")");
  CHECK(refusal(musdb + R"(["mixture"]})").find("data.sources[0]: expected a source, ") == 0);
}

TEST_CASE("augmentations change sources, not their sum's meaning, and follow seed, epoch and index alone") {
  const char* list = R"([{"type": "shift", "samples": 500}, {"type": "flip_sign"}, {"type": "flip_channels"},
                         {"type": "gain"}, {"type": "remix", "group": 4}])";
  const auto data = small_set("train", list);
  CHECK(data->size() == 3 * 3);
  const Batch one = batch_of(*data, 1, 4), again = batch_of(*data, 1, 4), later = batch_of(*data, 2, 4),
              other = batch_of(*small_set("train", list, 2), 1, 4);
  CHECK(same_bits(one.inputs[0], again.inputs[0]));
  CHECK(same_bits(one.targets[0], again.targets[0]));
  CHECK(!same_bits(one.targets[0], later.targets[0]));
  CHECK(!same_bits(one.targets[0], other.targets[0]));
  const float *x = one.inputs[0].ptr<float>(), *y = one.targets[0].ptr<float>();
  for (int64_t i = 0; i < 4 * 1000; ++i)
    CHECK(x[2 * i + 1] == y[8 * i + 1] + y[8 * i + 3] + y[8 * i + 5] + y[8 * i + 7]);
}

TEST_CASE("remix permutes each source over its group and loses none") {
  Tensor targets = Tensor::empty({6, 1, 3, 2});
  float* x = targets.mut<float>();
  for (int64_t i = 0; i < targets.numel(); ++i) x[i] = static_cast<float>(i);
  const Tensor before = targets.clone();
  bool moved = false;
  for (int64_t number = 0; number < 5; ++number) {
    Tensor mixed = before.clone();
    remix_sources(mixed, 4, 1, 0, number);
    moved = moved || !same_bits(mixed, before);
    for (int64_t s = 0; s < 3; ++s) {
      for (const auto& [lo, hi] : {std::pair(0, 4), std::pair(4, 6)}) {
        double sum = 0, expected = 0;
        for (int64_t n = lo; n < hi; ++n) {
          const int64_t at = (n * 3 + s) * 2;
          sum += mixed.ptr<float>()[at];
          expected += before.ptr<float>()[at];
          CHECK(mixed.ptr<float>()[at + 1] == mixed.ptr<float>()[at] + 1);  // channels stay together
        }
        CHECK(sum == expected);
      }
    }
  }
  CHECK(moved);
}

TEST_CASE("a set written in MUSDB's layout is read back: same tracks, same samples") {
  const ScratchFolder folder;
  const auto tones = generate_tones(kSmall, 1, "train");
  write_musdb(folder.path(), *tones);
  const auto read = open_musdb(folder.path(), "train", {tones->sources, 1000, 2}, 100);
  REQUIRE(read->tracks.size() == 3);
  CHECK(read->tracks[2].name == "tones-02");
  CHECK(read->tracks[2].std == tones->tracks[2].std);
  std::vector<float> ours(200), theirs(200);
  read->read_source(2, 3, 500, 100, ours.data());
  tones->read_source(2, 3, 500, 100, theirs.data());
  CHECK(ours == theirs);
  CHECK(open_musdb(folder.path(), "train", {{"vocals"}, 1000, 2}, 1)->tracks.size() == 1);
}

TEST_CASE("batches of music through the loader: any prefetch, tracks of different lengths") {
  const ScratchFolder folder;
  for (const int64_t length : {3000, 5000, 4000}) {
    const std::filesystem::path track = folder / concat("test/", length);
    std::filesystem::create_directories(track);
    for (const char* stem : {"mixture", "voice"})
      write_sound(track / concat(stem, ".wav"), std::vector<float>(static_cast<size_t>(length), 0.5f), 1,
                  1000);
  }
  const SoundDataset data(open_musdb(folder.path(), "test", {{"voice"}, 1000, 1}, 100), {}, FieldPath(), 1);
  LoaderOptions options;
  options.batch = 1;
  Loader loader(data, options);
  loader.start(0);
  Batch batch;
  std::vector<int64_t> lengths;
  while (loader.next(batch)) lengths.push_back(batch.inputs[0].dim(1));
  CHECK(lengths == std::vector<int64_t>{3000, 4000, 5000});
}

TEST_SUITE_END();
