// Sound files and data sets of music.

#include "core/error.h"
#include "core/files.h"
#include "data/sound_file.h"
#include "tests/tools/bad_inputs.h"
#include "tests/tools/cli.h"

namespace lathe::tests {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kRate = 1000, kSamples = 2000;

void write_sound(const fs::path& path, int64_t samples, int64_t channels = 1, int64_t rate = kRate) {
  fs::create_directories(path.parent_path());
  SoundWriter writer(path, {.channels = channels, .rate = rate}, SampleFormat::Int16);
  std::vector<float> x(static_cast<size_t>(samples * channels));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 50) / 100;
  writer.write(x.data(), samples);
  writer.close();
}

// d/: a track of two sources a split, mono.
void lay_out_music(const fs::path& folder) {
  for (const char* split : {"train", "test"}) {
    for (const char* stem : {"mixture", "voice", "rest"})
      write_sound(folder / "d" / split / "song" / concat(stem, ".wav"), kSamples);
  }
}

const std::string kData =
    R"("data": {"type": "musdb", "root": "d", "sources": ["voice", "rest"], "sample_rate": 1000,
                "channels": 1, "batch": 2, )";

std::string experiment_with(const std::string& more = R"("samples": 506)") {
  return R"({"schema": 1, "name": "sound", "seed": 1, )" + kData + more +
         R"(}, "model": {"type": "demucs", "sources": 2, "audio_channels": 1, "channels": 2, "depth": 2,
             "lstm_layers": 0}, "loss": {"type": "l1"}, "optimizer": {"type": "adam", "lr": 1e-3},
             "train": {"epochs": 1}})";
}

const std::vector<std::string> kCheck = {"data", "check", "exp.json"};

BadInput music(std::string name, const Prepare& spoil, std::vector<std::string> says,
               const std::string& more = R"("samples": 506)") {
  return {std::move(name), all({lay_out_music, file("exp.json", experiment_with(more)), spoil}), kCheck, 3,
          std::move(says)};
}

Prepare sound(const std::string& path, int64_t samples, int64_t channels = 1, int64_t rate = kRate) {
  return [=](const fs::path& folder) { write_sound(folder / path, samples, channels, rate); };
}

Prepare gone(const std::string& path) {
  return [=](const fs::path& folder) { fs::remove_all(folder / path); };
}

constexpr const char* kVoice = "d/train/song/voice.wav";
constexpr const char* kMixture = "d/train/song/mixture.wav";

std::vector<BadInput> data_rows() {
  return {
      music("corrupt WAV", file(kVoice, std::string(4000, 'x')), {"d/train/song/voice.wav: ", "sound file"}),
      music("empty WAV", file(kVoice, ""), {"d/train/song/voice.wav: "}),
      music("truncated WAV", [](const fs::path& f) { truncate(f / kVoice, 1500); },
            {"d/train/song/voice.wav: ", "cut short", "1500 bytes", "4044"}),
      music("WAV header without samples", sound(kVoice, 0), {"d/train/song/voice.wav: ", "0 samples"}),
      music("sample-rate mismatch", sound(kVoice, kSamples, 1, 1500),
            {"d/train/song/voice.wav: ", "sample rate is 1500", "expected 1000"}),
      music("length mismatch", sound(kVoice, kSamples - 1),
            {"d/train/song/voice.wav: ", "1999 samples", "mixture has 2000"}),
      music("wrong channel count", sound(kVoice, kSamples, 2),
            {"d/train/song/voice.wav: ", "2 channels", "expected 1"}),
      music("missing stem", gone(kVoice), {"d/train/song/voice.wav: ", "'voice' is missing", "rest.wav"}),
      music("missing mixture", gone(kMixture), {"d/train/song/mixture.wav: ", "mixture is missing"}),
      music("split without tracks", gone("d/train/song"), {"d/train: ", "no tracks"}),
      music("missing split", gone("d/train"), {"d/train: ", "no such folder"}),
      music("segment longer than the track", nothing(),
            {"track 'song'", "2000 samples", "1900", "400 for its shift"},
            R"("samples": 1900, "augment": [{"type": "shift", "samples": 400}])"),
  };
}

BadInput experiment_row(std::string name, const std::string& more, std::vector<std::string> says) {
  return {std::move(name),
          all({lay_out_music, file("exp.json", experiment_with(more))}),
          {"train", "exp.json", "--out", "run"},
          2,
          std::move(says)};
}

// run/: a model of two mono sources at 1000 Hz.
void train_sound(const fs::path& folder) {
  lay_out_music(folder);
  write_atomic(folder / "exp.json", std::string_view(experiment_with()));
  const Finished finished =
      run_lathe({.arguments = {"train", "exp.json", "--out", "run", "--quiet"}, .folder = folder});
  LATHE_CHECK(InternalError, finished.code == 0, "bad_sounds: ", finished.err);
  fs::remove_all(folder / "d");
}

BadInput run_row(std::string name, const Prepare& prepare, std::vector<std::string> arguments, int code,
                 std::vector<std::string> says) {
  arguments.insert(arguments.begin(), {"run", "run/model.lathe"});
  return {std::move(name), all({train_sound, prepare}), std::move(arguments), code, std::move(says)};
}

}  // namespace

std::vector<BadInput> bad_sounds() {
  std::vector<BadInput> rows = data_rows();
  const std::vector<BadInput> more = {
      experiment_row("augmentation of sound that there is not", R"("augment": [{"type": "shfit"}])",
                     {"data.augment[0].type", "did you mean 'shift'?"}),
      experiment_row("augmentation of sound twice", R"("augment": [{"type": "gain"}, {"type": "gain"}])",
                     {"data.augment[1]", "'gain' is given twice"}),
      experiment_row("stretch that is no whole number of frames", R"("samples": 501)",
                     {"data.samples", "found 501", "expected 498 or 506"}),
      experiment_row("tracks evaluated in batches", R"("eval_batch": 4)",
                     {"data.eval_batch", "found 4", "expected 1"}),
      experiment_row("segments that do not advance", R"("samples": 506, "segment": 1)",
                     {"exp.json: data.overlap: ", "found 0.25", "segments of 1 samples"}),
      {"loss that is no distance between sounds",
       all({lay_out_music, file("exp.json", experiment_with()),
            [](const fs::path& f) { replace_in(f / "exp.json", R"("l1")", R"("bce")"); }}),
       {"train", "exp.json", "--dry-run"},
       2,
       {"exp.json:3: loss: ", "'musdb'", "expected l1 or mse", R"(found {"type":"bce"})"}},
      {"source twice",
       all({lay_out_music, file("exp.json", experiment_with()),
            [](const fs::path& f) {
              replace_in(f / "exp.json", R"(["voice", "rest"])", R"(["voice", "voice"])");
            }}),
       {"train", "exp.json", "--dry-run"},
       2,
       {"exp.json: data.sources[1]: ", "each source once", "voice"}},
      run_row("song that is no sound", file("a.wav", "hello"), {"a.wav"}, 3, {"a.wav: ", "sound file"}),
      run_row("song that is not there", nothing(), {"b.wav"}, 3, {"b.wav: ", "no such file"}),
      run_row("stems that are there already", all({sound("c.wav", 3000), file("c/voice.wav", "mine")}),
              {"c.wav"}, 5, {"c/voice.wav: ", "is there already", "--overwrite"}),
  };
  rows.insert(rows.end(), more.begin(), more.end());
  return rows;
}

}  // namespace lathe::tests
