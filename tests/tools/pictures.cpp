// Class folders from training to a picture on the command line.

#include "tests/support/pictures.h"

#include <cmath>

#include <doctest/doctest.h>

#include "core/files.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "data/resample.h"
#include "tests/support/scratch.h"
#include "tests/tools/bad_inputs.h"
#include "tests/tools/cli.h"

namespace lathe::tests {
namespace {

// Command line on a folder d/ of two classes and an experiment exp.json on it.
struct Workplace {
  ScratchFolder scratch;

  Workplace() {
    lay_out_pictures(scratch / "d", 6, 3, "val");
    experiment(R"({"type": "glyphs", "train": 64, "test": 16, "batch": 32, "augment": [{"type": "flip"}]})",
               R"({"type": "image_folder", "root": "d", "size": 8, "crop_pct": 0.8, "batch": 4,
                   "interpolation": "bicubic", "augment": [{"type": "random_resized_crop"},
                   {"type": "rand_augment"}, {"type": "mixup_cutmix"}]})")(scratch.path());
    replace_in(scratch / "exp.json", R"("input": [32, 32, 3], "hidden": [4], "classes": 10)",
               R"("input": [8, 8, 3], "hidden": [4], "classes": 2)");
  }
  std::string out(std::vector<std::string> arguments) const {
    const Finished finished = run_lathe({.arguments = std::move(arguments), .folder = scratch.path()});
    CAPTURE(finished.err);
    REQUIRE(finished.code == 0);
    return finished.out;
  }
  // Probability of class "bee" for a picture, from a run or a packed file.
  double bee(const std::string& model, const std::string& picture) const {
    const Value line = parse_json(out({"run", model, picture, "--json"}), "run");
    for (const Value& guess : line.find("guesses")->items())
      if (guess.find("class")->as_int() == 1) return guess.find("probability")->as_real();
    return -1;
  }
};

}  // namespace

TEST_SUITE_BEGIN("packed runs");

TEST_CASE("a picture is classified from the packed file as evaluation saw it") {
  const Workplace work;
  work.out(
      {"train", "exp.json", "--out", "run", "--quiet", "--set", R"(quant={"rules": [{"type": "codeq"}]})"});
  CHECK(work.out({"verify", "run"}).starts_with("identical: "));
  work.out({"eval", "run/model.lathe", "--logits", "l.safetensors"});
  const TensorFile outputs = read_safetensors(work.scratch / "l.safetensors");
  const float* logits = outputs.find("logits")->ptr<float>();
  // Samples go round the classes: 1 is the first bee.
  const double expected = 1 / (1 + std::exp(static_cast<double>(logits[2]) - static_cast<double>(logits[3])));
  for (const char* model : {"run", "run/model.lathe"})
    CHECK(work.bee(model, "d/val/bee/0.png") == doctest::Approx(expected).epsilon(1e-6));
  const Value line = parse_json(work.out({"run", "run/model.lathe", "d/val/bee/0.png", "--json"}), "run");
  const std::string name = line.find("guesses")->items()[0].find("name")->as_string();
  CHECK((name == "ant" || name == "bee"));
  write_atomic(work.scratch / "x.jpg", small_jpeg());
  CHECK(work.out({"run", "run/model.lathe", "x.jpg"}).find(" %  ") != std::string::npos);
}

TEST_CASE("imported weights classify pictures as their data section says") {
  const ScratchFolder scratch;
  const auto out = [&](std::vector<std::string> arguments) {
    const Finished finished = run_lathe({.arguments = std::move(arguments), .folder = scratch.path()});
    CAPTURE(finished.err);
    REQUIRE(finished.code == 0);
    return finished.out;
  };
  experiment(R"({"type": "mlp", "input": [32, 32, 3], "hidden": [4], "classes": 10})",
             R"({"type": "resnet20"})")(scratch.path());
  out({"train", "exp.json", "--out", "run", "--quiet", "--set", "train.epochs=1", "--set", "data.limit=32"});
  out({"export", "run", "-o", "w.safetensors"});
  write_atomic(scratch / "data.json",
               std::string_view(R"({"data": {"type": "image_folder", "size": 24, "crop_pct": 0.9}})"));
  out({"import", "w.safetensors", "--model", "resnet20", "--data", "data.json", "-o", "imported"});
  write_png(scratch / "x.png", some_picture(40, 60, 3));
  const Value line = parse_json(out({"run", "imported", "x.png", "--json"}), "run");
  CHECK(line.find("guesses")->items().size() == 5);
  // The same weights on the same pixels, cut out here.
  const Picture whole = some_picture(40, 60, 3);
  Picture cut{.height = 24, .width = 24, .channels = 3, .pixels = std::vector<uint8_t>(24 * 24 * 3)};
  CentreCrop{0.9}({whole.pixels.data(), 40, 60, 3}, {cut.pixels.data(), 24, 24, 3});
  write_png(scratch / "cut.png", cut);
  replace_in(scratch / "data.json", "0.9", "1");
  out({"import", "w.safetensors", "--model", "resnet20", "--data", "data.json", "-o", "again/"});
  for (const char* name : {"imported", "again"}) {
    const Value resolved =
        parse_json(read_text(scratch / (std::string(name) + "/resolved.json")), "resolved.json");
    CHECK(resolved.find("name")->as_string() == name);
  }
  const Value same = parse_json(out({"run", "again", "cut.png", "--json"}), "run");
  CHECK(*same.find("guesses") == *line.find("guesses"));
}

TEST_SUITE_END();

}  // namespace lathe::tests
