#include "train/checkpoint.h"

#include <algorithm>
#include <fstream>
#include <functional>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/scratch.h"
#include "core/hash.h"

namespace fs = std::filesystem;
using lathe::Checkpoint;
using lathe::NamedTensor;
using lathe::Tensor;
using lathe::Value;
using lathe::tests::FileSizeLimit;
using lathe::tests::ScratchFolder;

namespace {

Checkpoint checkpoint(int64_t step, float value = 1, size_t elements = 3) {
  const Tensor weight = Tensor::from(std::vector<float>(elements, value), {static_cast<int64_t>(elements)});
  const Tensor slot = Tensor::from(std::vector<double>{0.5 * value}, {1});
  Checkpoint c;
  c.state = {step, 7, "0123456789abcdef", Value::object({{"epoch", Value::integer(2)}})};
  c.model = {{"conv.weight", weight}, {"bn.running_mean", Tensor::zeros({2})}};
  c.optimizer = {{"momentum/conv.weight", slot}};
  return c;
}

std::vector<std::string> names(const fs::path& folder) {
  std::vector<std::string> list;
  for (const auto& entry : fs::directory_iterator(folder)) list.push_back(entry.path().filename().string());
  std::sort(list.begin(), list.end());
  return list;
}

using Names = std::vector<std::string>;

template <class Error>
std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

float first_weight(const Checkpoint& c) {
  return c.model.at(0).tensor.ptr<float>()[0];
}

std::string contents(const fs::path& folder) {
  std::string all;
  for (const std::string& name : names(folder)) all += name + "\n" + lathe::read_text(folder / name) + "\n";
  return all;
}

}  // namespace

TEST_SUITE_BEGIN("train");

TEST_CASE("checkpoint: round trip") {
  const ScratchFolder scratch;
  Checkpoint c = checkpoint(12345);
  c.ema = {{"conv.weight", Tensor::from(std::vector<float>{4}, {1})}};
  const fs::path path = lathe::write_checkpoint(scratch / "checkpoints", c, 2);
  CHECK(path == scratch / "checkpoints" / "step-00012345");
  CHECK(names(path) == Names{"ema.safetensors", "manifest.json", "model.safetensors", "optimizer.safetensors",
                             "state.json"});
  const Checkpoint back = lathe::read_checkpoint(path);
  CHECK(back.state.step == 12345);
  CHECK(back.state.seed == 7);
  CHECK(back.state.experiment == "0123456789abcdef");
  CHECK(back.state.progress == c.state.progress);
  REQUIRE(back.model.size() == 2);
  CHECK(back.model[0].name == "conv.weight");
  CHECK(back.model[1].name == "bn.running_mean");
  CHECK(back.model[0].tensor.shape() == lathe::Shape{3});
  CHECK(back.optimizer.at(0).tensor.ptr<double>()[0] == 0.5);
  CHECK(back.ema.at(0).tensor.ptr<float>()[0] == 4);

  const fs::path plain = lathe::write_checkpoint(scratch / "checkpoints", checkpoint(1), 2);
  CHECK(names(plain) == Names{"manifest.json", "model.safetensors", "optimizer.safetensors", "state.json"});
  CHECK(lathe::read_checkpoint(plain).ema.empty());
}

TEST_CASE("checkpoint: the same state gives the same bytes") {
  const ScratchFolder scratch;
  const fs::path a = lathe::write_checkpoint(scratch / "a", checkpoint(5), 2);
  const fs::path b = lathe::write_checkpoint(scratch / "b", checkpoint(5), 2);
  CHECK(contents(a) == contents(b));
}

TEST_CASE("checkpoint: the newest are kept, what was left half done is removed") {
  const ScratchFolder scratch;
  const fs::path folder = scratch / "checkpoints";
  CHECK(lathe::list_checkpoints(folder).empty());
  CHECK_FALSE(lathe::read_newest_checkpoint(folder).has_value());
  for (int64_t step : {10, 20, 30}) lathe::write_checkpoint(folder, checkpoint(step, float(step)), 2);
  CHECK(names(folder) == Names{"step-00000020", "step-00000030"});
  CHECK(first_weight(*lathe::read_newest_checkpoint(folder)) == 30);

  fs::create_directories(folder / "step-00000025");       // being removed when the run was killed
  fs::create_directories(folder / ".step-00000040.new");  // being written when the run was killed
  std::ofstream(folder / ".step-00000040.new" / "model.safetensors") << "half";
  fs::create_directories(folder / "notes");
  CHECK(lathe::list_checkpoints(folder).size() == 2);
  lathe::write_checkpoint(folder, checkpoint(40), 2);
  CHECK(names(folder) == Names{"notes", "step-00000030", "step-00000040"});
  lathe::write_checkpoint(folder, checkpoint(100'000'000), 1);
  CHECK(names(folder) == Names{"notes", "step-100000000"});
  CHECK_THROWS_AS(lathe::write_checkpoint(folder, checkpoint(1), 0), lathe::ConfigError);
}

TEST_CASE("checkpoint: an incomplete one is never read") {
  const ScratchFolder scratch;
  const fs::path folder = scratch / "checkpoints";
  lathe::write_checkpoint(folder, checkpoint(10, 10), 3);
  const fs::path newest = lathe::write_checkpoint(folder, checkpoint(20, 20), 3);
  fs::remove(newest / "manifest.json");
  CHECK(lathe::list_checkpoints(folder).size() == 1);
  CHECK(first_weight(*lathe::read_newest_checkpoint(folder)) == 10);
}

TEST_CASE("checkpoint: one of the same step is replaced, and found wherever a kill leaves it") {
  const ScratchFolder scratch;
  const fs::path folder = scratch / "checkpoints";
  const fs::path place = lathe::write_checkpoint(folder, checkpoint(10, 1), 2);
  lathe::write_checkpoint(folder, checkpoint(10, 2), 2);
  CHECK(names(folder) == Names{"step-00000010"});
  CHECK(first_weight(*lathe::read_newest_checkpoint(folder)) == 2);

  // Killed between moving the old one aside and the new one in.
  fs::rename(place, folder / "step-00000010.old");
  CHECK(first_weight(*lathe::read_newest_checkpoint(folder)) == 2);
  // Killed after that, before the old one was removed.
  lathe::write_checkpoint(scratch / "other", checkpoint(10, 3), 2);
  fs::rename(scratch / "other" / "step-00000010", place);
  CHECK(lathe::list_checkpoints(folder) == std::vector<fs::path>{place});
  CHECK(first_weight(*lathe::read_newest_checkpoint(folder)) == 3);
  lathe::write_checkpoint(folder, checkpoint(10, 4), 2);
  CHECK(names(folder) == Names{"step-00000010"});
  CHECK(first_weight(*lathe::read_newest_checkpoint(folder)) == 4);
}

TEST_CASE("checkpoint: a full disk leaves every earlier one as it was") {
  const ScratchFolder scratch;
  const fs::path folder = scratch / "checkpoints";
  const fs::path old = lathe::write_checkpoint(folder, checkpoint(10), 1);
  const std::string before = contents(old);
  std::string message;
  {
    const FileSizeLimit limit(1 << 14);
    message =
        error_of<lathe::IoError>([&] { lathe::write_checkpoint(folder, checkpoint(20, 1, 100'000), 1); });
  }
  CHECK(message.find("model.safetensors: cannot write: File too large") != std::string::npos);
  {
    const FileSizeLimit limit(1 << 14);
    CHECK_THROWS_AS(lathe::write_checkpoint(folder, checkpoint(10, 1, 100'000), 1), lathe::IoError);
  }
  CHECK(names(folder) == Names{"step-00000010"});
  CHECK(contents(old) == before);
  std::ofstream(scratch / "file") << "x";
  CHECK_THROWS_AS(lathe::write_checkpoint(scratch / "file", checkpoint(1), 1), lathe::IoError);
}

TEST_CASE("checkpoint: damage is named, not passed over") {
  struct Row {
    const char* file;
    const char* from;  // null: remove the file
    const char* to;
    const char* message;
  };
  const Row rows[] = {
      {"model.safetensors", "bn.running_mean", "bn.running_maen", "model.safetensors: damaged: its hash is"},
      {"optimizer.safetensors", nullptr, "",
       "optimizer.safetensors: the manifest lists it, but it is missing"},
      {"state.json", "{", "{ ", " bytes, the manifest says "},
      {"state.json", "\"seed\": 7", "\"seed\": 8", "state.json: damaged: its hash is"},
      {"manifest.json", "{", "", "manifest.json:2: expected the end of the text"},
      {"manifest.json", "\"format\": 1", "\"format\": 2",
       "manifest.json:2: format: expected an integer at least 1 and at most 1, found 2"},
      {"manifest.json", "\"model.safetensors\"", "\"other.safetensors\"",
       "manifest.json:4: files: unknown file 'other.safetensors'"},
      {"manifest.json", "\"format\"", "\"fromat\"", "manifest.json:2: unknown key 'fromat'"},
      {"manifest.json", "\"bytes\"", "\"byte\"", "files.model.safetensors: unknown key 'byte'"},
  };
  for (const Row& row : rows) {
    const ScratchFolder scratch;
    lathe::write_checkpoint(scratch / "c", checkpoint(10), 2);
    const fs::path file = lathe::write_checkpoint(scratch / "c", checkpoint(20), 2) / row.file;
    if (row.from == nullptr) {
      fs::remove(file);
    } else {
      std::string text = lathe::read_text(file);
      const size_t at = text.find(row.from);
      REQUIRE(at != std::string::npos);
      lathe::write_atomic(file, text.replace(at, std::string(row.from).size(), row.to));
    }
    const std::string message =
        error_of<lathe::FormatError>([&] { lathe::read_newest_checkpoint(scratch / "c"); });
    CAPTURE(message);
    CHECK_MESSAGE(message.find(row.message) != std::string::npos, row.message);
    CHECK(message.find(scratch.path().string()) == 0);
  }
}

TEST_CASE("checkpoint: a state that the hash confirms is still checked") {
  const ScratchFolder scratch;
  const fs::path path = lathe::write_checkpoint(scratch / "c", checkpoint(20), 2);
  lathe::write_atomic(path / "state.json", std::string_view("{\n\"step\": 20}"));
  std::string manifest = lathe::read_text(path / "manifest.json");
  const size_t entry = manifest.find("state.json");
  manifest = manifest.substr(0, entry) + "state.json\": {\"bytes\": 13, \"xxh64\": \"" +
             lathe::hash_file(path / "state.json") + "\"}}}";
  lathe::write_atomic(path / "manifest.json", manifest);
  const std::string message = error_of<lathe::FormatError>([&] { lathe::read_checkpoint(path); });
  CHECK(message == (path / "state.json").string() + ":1: required key 'seed' is missing");
}

TEST_SUITE_END();
