// Published weights, from import to logits, as a user would: needs LATHE_DATA with cifar10/ and weights/.

#include <cmath>
#include <cstdlib>

#include <doctest/doctest.h>

#include "core/files.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "tests/support/scratch.h"
#include "tests/tools/cli.h"

namespace lathe::tests {

namespace fs = std::filesystem;

namespace {

// Of the weights' authors: ImageNet's mean and deviation.
constexpr const char* kData = R"({"schema": 1, "name": "published", "seed": 0,
  "data": {"type": "cifar10", "root": "data/cifar10", "batch": 250,
           "normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}},
  "model": {"type": "resnet20", "classes": 10},
  "optimizer": {"type": "sgd", "lr": 0.1}, "schedule": {"type": "constant"}, "train": {"epochs": 1}})";

// Largest |ours - reference|, relative to the largest |reference|.
double deviation(const Tensor& logits, const std::vector<Value>& rows) {
  const float* ours = logits.ptr<float>();
  double worst = 0, largest = 0;
  for (const Value& row : rows) {
    for (const Value& one : row.items()) {
      worst = std::max(worst, std::abs(static_cast<double>(*ours++) - one.as_real()));
      largest = std::max(largest, std::abs(one.as_real()));
    }
  }
  return worst / largest;
}

}  // namespace

TEST_SUITE_BEGIN("slow published");

TEST_CASE("published ResNet-20 weights score as published and give the reference logits") {
  const char* data = std::getenv("LATHE_DATA");
  if (data == nullptr) {
    MESSAGE("SKIPPED: LATHE_DATA is not set");
    return;
  }
  const fs::path weights = fs::path(data) / "weights";
  const ScratchFolder scratch;
  write_atomic(scratch / "data.json", kData);
  const auto run = [&](std::vector<std::string> arguments) {
    const Finished finished = run_lathe({.arguments = std::move(arguments), .folder = scratch.path()});
    CAPTURE(finished.err);
    REQUIRE(finished.code == 0);
    return finished.out;
  };
  const std::string root = "data.root=" + (fs::path(data) / "cifar10").string();
  run({"import", (weights / "resnet20.safetensors").string(), "--model", "resnet20", "--data", "data.json",
       "--set", root, "--out", "run"});
  const Value result = parse_json(run({"eval", "run", "--logits", "logits.safetensors", "--json", "--quiet"}),
                                  "eval's result");
  CHECK(result.find("samples")->as_int() == 10000);
  CHECK(std::abs(result.find("metrics")->find("top1")->as_real() - 0.9173) <= 0.0002);

  const Value reference = parse_json(read_text(weights / "resnet20-reference-logits.json"), "reference");
  const TensorFile outputs = read_safetensors(scratch / "logits.safetensors");
  const Tensor* logits = outputs.find("logits");
  REQUIRE(logits != nullptr);
  REQUIRE(logits->shape() == Shape({10000, 10}));
  REQUIRE(reference.find("logits")->items().size() == 16);
  CHECK(deviation(*logits, reference.find("logits")->items()) <= 1e-3);

  run({"export", "run", "--out", "again.safetensors"});
  run({"import", "again.safetensors", "--model", "resnet20", "--data", "data.json", "--set", root, "--out",
       "again"});
  const Value second = parse_json(run({"eval", "again", "--json", "--quiet"}), "eval's result");
  CHECK(second.find("logits_hash")->as_string() == result.find("logits_hash")->as_string());
}

TEST_SUITE_END();

}  // namespace lathe::tests
