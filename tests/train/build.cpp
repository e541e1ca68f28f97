// The objects that an experiment names, and what is refused before the first step.

#include "train/build.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "tests/support/scratch.h"
#include "train/saved_run.h"

namespace lathe {
namespace {

// Maps of one pixel at its end.
constexpr const char* kPictures = R"({
  "schema": 1, "name": "pictures", "seed": 1,
  "data": {"type": "glyphs", "train": 33, "test": 8, "batch": 32},
  "model": {"type": "resnet18", "classes": 10},
  "optimizer": {"type": "sgd", "lr": 0.1},
  "train": {"epochs": 1}
})";

constexpr const char* kSounds = R"({
  "schema": 1, "name": "sounds", "seed": 1,
  "data": {"type": "tones", "train": 1, "test": 1, "track_samples": 4000, "sample_rate": 1000, "batch": 2,
           "samples": 506},
  "model": {"type": "demucs", "channels": 2, "depth": 2, "lstm_layers": 0},
  "optimizer": {"type": "adam", "lr": 0.001},
  "train": {"epochs": 1}
})";

std::string refusal(const char* text, const std::vector<std::string>& sets) {
  try {
    build_training(parse_experiment(text, "exp.json", sets));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_SUITE_BEGIN("train");

TEST_CASE("a last batch of one sample is refused where a batch norm cannot be formed of it") {
  const auto says = [](const std::vector<std::string>& sets, const std::string& what) {
    const std::string found = refusal(kPictures, sets);
    CAPTURE(found);
    CHECK(found.find("exp.json:3: data.batch: found " + what) == 0);
    CHECK(found.find("more than one value per channel") != std::string::npos);
    CHECK(found.find("in layer4.0.downsample.1 (BatchNorm)") != std::string::npos);
  };
  says({}, "32: of 33 samples the last batch has one");
  says({"data.batch=1"}, "1: of 33 samples the last batch has one");
  says({"data.train=257", "data.repeats=2", "data.batch=255"}, "255: of 256 samples the last batch has one");
  const std::string map_of_eight = R"(model={"type": "resnet20", "blocks": [1, 1, 1]})";
  CHECK(refusal(kPictures, {map_of_eight}) == "accepted");
  CHECK(refusal(kPictures, {map_of_eight, "data.batch=1"}) == "accepted");
  CHECK(refusal(kPictures, {"data.batch=31"}) == "accepted");
}

TEST_CASE("a loss that separation cannot be trained with is refused by its key") {
  const std::string expected =
      "exp.json: loss: data set 'tones' is sound to be separated: expected l1 or mse, found ";
  CHECK(refusal(kSounds, {R"(loss={"type": "bce"})"}) == expected + R"({"type":"bce"})");
  CHECK(refusal(kSounds, {}) == expected + R"({"type":"cross_entropy"})");  // taken where none is given
  CHECK(refusal(kSounds, {R"(loss={"type": "l1"})"}) == "accepted");
}

TEST_CASE("an imported model that separates is judged by a loss that its data takes") {
  const tests::ScratchFolder folder;
  const Experiment experiment = parse_experiment(kSounds, "exp.json", {R"(loss={"type": "l1"})"});
  const TrainingObjects objects = build_training(experiment);
  write_imported_run(folder / "run", experiment.model, experiment.data, *objects.model);
  CHECK(run_task(open_run(folder / "run"), objects.data.test->info())->metric() == "sdr");
}

TEST_SUITE_END();

}  // namespace lathe
