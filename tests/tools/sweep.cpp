// Sweeps, post-training quantization and inference through the executable.

#include "train/sweep.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "core/files.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "quant/attach.h"
#include "quant/pack/packed_model.h"
#include "tests/support/scratch.h"
#include "tests/tools/bad_inputs.h"
#include "tests/tools/cli.h"

namespace lathe::tests {

namespace fs = std::filesystem;

namespace {

constexpr const char* kSweep = R"({
  // two widths and two rates, and what rounding makes of float weights
  "schema": 1, "name": "s", "experiment": "exp.json", "set": {"train.epochs": 1},
  "points": [{"name": "float"},
             {"name": "lsq-4", "set": {"quant": {"rules": [{"type": "lsq", "bits": 4}]}}},
             {"name": "ptq-8", "from": "float", "quant": {"rules": [{"type": "minmax", "bits": 8}]}},
             {"name": "ptq-2", "from": "float", "quant": {"rules": [{"type": "minmax", "bits": 2}]}}]})";

struct Command {
  const ScratchFolder& scratch;
  Finished operator()(std::vector<std::string> arguments) const {
    return run_lathe({.arguments = std::move(arguments), .folder = scratch.path()});
  }
  Value json(std::vector<std::string> arguments) const {
    arguments.emplace_back("--json");
    arguments.emplace_back("--quiet");
    const Finished finished = (*this)(std::move(arguments));
    CAPTURE(finished.err);
    REQUIRE(finished.code == 0);
    return parse_json(finished.out, "stdout");
  }
};

SweepRow row(const char* name, double value, int64_t bytes) {
  SweepRow made;
  made.name = name;
  made.metric = "top1";
  made.value = value;
  made.size_bytes = bytes;
  return made;
}

}  // namespace

TEST_SUITE_BEGIN("sweep");

TEST_CASE("a sweep's figures are those of its packed files, and it goes on where it stopped") {
  const ScratchFolder scratch;
  const Command lathe{scratch};
  experiment()(scratch.path());
  write_atomic(scratch / "s.json", kSweep);
  const Value first = lathe.json({"sweep", "s.json", "--out", "s"});
  const auto& rows = first.find("rows")->items();
  REQUIRE(rows.size() == 4);
  for (const Value& one : rows) {
    const std::string file = one.find("file")->as_string();
    CAPTURE(file);
    const Value evaluated = lathe.json({"eval", file});
    CHECK(*evaluated.find("metrics")->find("top1") == *one.find("value"));
    CHECK(one.find("size_bytes")->as_int() == static_cast<int64_t>(fs::file_size(scratch / file)));
  }
  CHECK(rows[0].find("avg_bits")->as_real() == 0);
  CHECK(rows[1].find("avg_bits")->as_real() == 4);
  CHECK(rows[2].find("avg_bits")->as_real() == 8);
  CHECK(rows[3].find("relative_bops")->find("mac")->as_real() == 2.0 / 32);
  CHECK(parse_json(read_text(scratch / "s/table.json"), "table") == first);

  const auto written = fs::last_write_time(scratch / "s/lsq-4/model.lathe");
  fs::remove_all(scratch / "s/float");
  const Value second = lathe.json({"sweep", "s.json", "--out", "s"});
  CHECK(fs::last_write_time(scratch / "s/lsq-4/model.lathe") == written);
  CHECK(*second.find("rows")->items()[0].find("value") == *rows[0].find("value"));
  CHECK(*second.find("rows")->items()[0].find("hash") == *rows[0].find("hash"));

  Value table = second;
  table.find("rows")->at(2)->set("value", Value());
  write_atomic(scratch / "s/table.json", to_json(table, 2));
  const Finished third = lathe({"sweep", "s.json", "--out", "s", "--quiet"});
  CHECK(third.code == 0);
  CHECK(third.out.find("none") != std::string::npos);

  const Finished longer = lathe({"sweep", "s.json", "--out", "s", "--set", "train.epochs=2"});
  CHECK(longer.code == 2);
  CHECK(longer.err.find("point float: s/float: the run was begun with another experiment: train.epochs") !=
        std::string::npos);
  const Finished other = lathe({"sweep", "s.json", "--out", "s", "--init", "s/float/model.lathe"});
  CHECK(other.code == 2);
  CHECK(other.err.find("began from other weights") != std::string::npos);
}

TEST_CASE("a sweep goes on from the weights that it began from, a file's or a run's, or from none") {
  const ScratchFolder scratch;
  const Command lathe{scratch};
  experiment()(scratch.path());
  write_atomic(scratch / "s.json", R"({"schema": 1, "name": "s", "experiment": "exp.json"})");
  for (const std::string name : {"a", "b"})
    lathe.json({"train", "exp.json", "--out", name, "--set", name == "a" ? "seed=1" : "seed=2"});
  const auto sweep = [&](const std::string& out, const std::string& init) {
    std::vector<std::string> arguments = {"sweep", "s.json", "--out", out, "--quiet"};
    if (!init.empty()) arguments.insert(arguments.end(), {"--init", init});
    return lathe(arguments);
  };
  const std::vector<std::string> inits = {"", "a", "b", "a/model.lathe"};
  for (size_t i = 0; i < inits.size(); ++i) {
    const std::string out = concat("from", i);
    CAPTURE(inits[i]);
    REQUIRE(sweep(out, inits[i]).code == 0);
    for (const std::string& other : inits) {
      CAPTURE(other);
      const Finished again = sweep(out, other);
      CHECK(again.code == (other == inits[i] ? 0 : 2));
      CHECK((again.err.find("began from other weights") != std::string::npos) == (other != inits[i]));
    }
  }

  // Versions that did not look into runs' folders wrote no hash: then the name decides.
  Value begun = parse_json(read_text(scratch / "from1/sweep.json"), "sweep");
  begun.find("s")->set("init_hash", Value::string(""));
  write_atomic(scratch / "from1/sweep.json", to_json(begun, 2));
  CHECK(sweep("from1", "a").code == 0);
  CHECK(sweep("from1", "b").code == 2);
  CHECK(sweep("from1", "").code == 2);
}

TEST_CASE("a point whose source diverged is a row that says so, and the sweep goes on") {
  const ScratchFolder scratch;
  const Command lathe{scratch};
  experiment()(scratch.path());
  // "late" leaves the checkpoint of its first epoch.
  write_atomic(scratch / "s.json", R"({
    "schema": 1, "name": "s", "experiment": "exp.json", "set": {"train.epochs": 2},
    "points": [{"name": "early", "set": {"optimizer.lr": 1e20}},
               {"name": "late", "set": {"schedule": {"type": "step", "every": 1, "gamma": 1e25}}},
               {"name": "good"},
               {"name": "early-8", "from": "early", "quant": {"rules": [{"type": "minmax"}]}},
               {"name": "late-8", "from": "late", "quant": {"rules": [{"type": "minmax"}]}},
               {"name": "good-8", "from": "good", "quant": {"rules": [{"type": "minmax"}]}}]})");
  for (int time = 0; time < 2; ++time) {
    CHECK(lathe({"sweep", "s.json", "--out", "s", "--quiet"}).code == 6);
    const Value table = parse_json(read_text(scratch / "s/table.json"), "table");
    std::vector<std::string> errors;
    for (const Value& one : table.find("rows")->items()) {
      errors.push_back(one.find("error")->as_string());
      CHECK(one.find("file")->as_string().empty() == !errors.back().empty());
    }
    REQUIRE(errors.size() == 6);
    CHECK(errors[0].starts_with("diverged at step"));
    CHECK(errors[1].starts_with("diverged at step"));
    CHECK(errors[3] == "its source early diverged");
    CHECK(errors[4] == "its source late diverged");
    CHECK(errors[2] + errors[5] == "");
    CHECK(fs::exists(scratch / "s/late/checkpoints/step-00000002"));
  }
}

TEST_CASE("what is quantized after training says so in its header with all defaults") {
  const ScratchFolder scratch;
  const Command lathe{scratch};
  experiment()(scratch.path());
  const std::string quant = R"({"rules": [{"type": "minmax"}], "activations": [{"type": "lsq", "bits": 4}]})";
  write_atomic(scratch / "q.json", quant);
  write_atomic(scratch / "s.json", concat(R"({
    "schema": 1, "name": "s", "experiment": "exp.json", "set": {"train.epochs": 1},
    "points": [{"name": "float"}, {"name": "q", "from": "float", "quant": )",
                                          quant, "}]}"));
  lathe.json({"sweep", "s.json", "--out", "s"});
  lathe.json({"pack", "s/float", "-o", "q.lathe", "--quant", "q.json"});
  const Value resolved = resolve_quant(parse_json(quant, "test"), {"test", "quant"});
  for (const char* file : {"q.lathe", "s/q.lathe"}) {
    CAPTURE(file);
    const Value header = read_packed(scratch / file).header;
    REQUIRE(header.find("quant") != nullptr);
    CHECK(*header.find("quant")->find("activations") == *resolved.find("activations"));
  }
}

TEST_CASE("a grid is every combination of its values") {
  const ScratchFolder scratch;
  experiment()(scratch.path());
  write_atomic(scratch / "s.json",
               R"({"schema": 1, "name": "s", "experiment": "exp.json",
                   "grid": {"seed": [1, 2], "optimizer.lr": [0.1, 0.2, 0.5]}})");
  const Sweep sweep = load_sweep(scratch / "s.json", {.sets = {"train.epochs=1"}, .init = "w"});
  REQUIRE(sweep.points.size() == 6);
  CHECK(sweep.points[0].name == "seed=1,lr=0.1");
  CHECK(sweep.points[5].name == "seed=2,lr=0.5");
  CHECK(sweep.points[4].sets ==
        std::vector<std::string>{"seed=2", "optimizer.lr=0.2", "train.epochs=1", "name=\"seed=2,lr=0.2\""});
  CHECK(sweep.points[4].init == "w");
}

TEST_CASE("the front holds what no other point beats in metric and size") {
  std::vector<SweepRow> rows = {row("big", 0.9, 100), row("small", 0.8, 10), row("worse", 0.85, 100),
                                row("twin", 0.8, 10), row("bad", 0.7, 11)};
  rows.push_back(row("diverged", 1, 1));
  rows.back().error = "diverged";
  rows.push_back(row("infinite", 0, 1));
  rows.back().value.reset();
  mark_front(rows);
  std::vector<bool> front;
  for (const SweepRow& one : rows) front.push_back(one.on_front);
  CHECK(front == std::vector<bool>{true, true, false, true, false, false, false});
}

TEST_CASE("a row without a value is read as it was written") {
  SweepRow made = row("infinite", 0, 1);
  made.value.reset();
  const Value table = parse_json(to_json(to_value(std::vector<SweepRow>{made})), "table");
  const Value& written = table.find("rows")->items()[0];
  CHECK(written.find("value")->is(Value::Type::Null));
  SweepRow read;
  read_fields(read, written, {"table", "rows[0]"});
  CHECK_FALSE(read.value.has_value());
  CHECK(read.name == "infinite");
}

TEST_CASE("what pack --quant writes, verify --quant proves") {
  const ScratchFolder scratch;
  const Command lathe{scratch};
  trained()(scratch.path());
  write_atomic(scratch / "q.json", R"({"rules": [{"type": "lsq", "bits": 3}]})");
  lathe.json({"pack", "run", "-o", "q.lathe", "--quant", "q.json"});
  CHECK(lathe.json({"verify", "run", "--against", "q.lathe", "--quant", "q.json"})
            .find("identical")
            ->as_bool());
  CHECK(lathe({"verify", "run", "--against", "q.lathe"}).code == 7);
  CHECK(fs::file_size(scratch / "q.lathe") < fs::file_size(scratch / "run/model.lathe") / 4);
}

TEST_CASE("info's bytes are the file's") {
  const ScratchFolder scratch;
  const Command lathe{scratch};
  trained()(scratch.path());
  const Value file = lathe.json({"info", "run/model.lathe"}), folder = lathe.json({"info", "run"});
  const Value& size = *file.find("size");
  int64_t sum = size.find("fixed")->as_int() + size.find("features")->as_int() + size.find("json")->as_int();
  for (const Value& tensor : size.find("tensors")->items()) sum += tensor.find("bytes")->as_int();
  CHECK(sum == static_cast<int64_t>(fs::file_size(scratch / "run/model.lathe")));
  CHECK(*folder.find("size") == size);
  CHECK(*folder.find("stored") == *file.find("stored"));
  const Finished text = lathe({"info", "run/model.lathe", "--explain-size"});
  CHECK(text.code == 0);
  CHECK(text.out.find("entropy bound") != std::string::npos);
}

TEST_CASE("run classifies a picture as evaluation does, from the packed file alone") {
  const ScratchFolder scratch;
  const Command lathe{scratch};
  trained()(scratch.path());
  REQUIRE(lathe({"data", "generate", "exp.json", "--out", "d", "--pictures", "3"}).code == 0);
  lathe.json({"eval", "run/model.lathe", "--logits", "logits.safetensors"});
  fs::rename(scratch / "run/model.lathe", scratch / "m.lathe");
  fs::remove_all(scratch / "run");
  const TensorFile logits = read_safetensors(scratch / "logits.safetensors");
  const float* rows = logits.find("logits")->ptr<float>();
  for (int i = 0; i < 3; ++i) {
    std::string picture;
    for (const auto& entry : fs::directory_iterator(scratch / "d/pictures")) {
      if (entry.path().filename().string().starts_with("0000" + std::to_string(i)))
        picture = entry.path().string();
    }
    REQUIRE(!picture.empty());
    const Value guesses = lathe.json({"run", "m.lathe", picture, "--top", "10"});
    const auto& list = guesses.find("guesses")->items();
    REQUIRE(list.size() == 10);
    const float* row = rows + i * 10;
    CHECK(list[0].find("class")->as_int() == std::max_element(row, row + 10) - row);
    double sum = 0;
    for (const Value& guess : list) sum += guess.find("probability")->as_real();
    CHECK(sum == doctest::Approx(1));
  }
}

TEST_SUITE_END();

}  // namespace lathe::tests
