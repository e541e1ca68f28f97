// The executable with --device cuda.

#include "tests/tools/cli.h"

#include <doctest/doctest.h>

#include "core/files.h"
#include "core/json.h"
#include "tests/cuda/device.h"
#include "tests/support/scratch.h"

namespace lathe::tests {
namespace {

constexpr const char* kExperiment = R"({
  "schema": 1, "name": "tiny", "seed": 4,
  "data": {"type": "glyphs", "train": 24, "test": 8, "batch": 8},
  "model": {"type": "mlp", "input": [32, 32, 3], "hidden": [8], "classes": 10},
  "quant": {"rules": [{"match": "*", "kind": "weight", "type": "codeq"}]},
  "optimizer": {"type": "adamw", "lr": 0.01},
  "schedule": {"type": "constant"},
  "train": {"epochs": 3}
})";

}  // namespace

TEST_SUITE_BEGIN("gpu runs");

TEST_CASE("train, eval, verify and prove-resume run on the device that is asked for") {
  if (!cuda_ready()) return;
  const ScratchFolder scratch;
  write_atomic(scratch / "exp.json", kExperiment);
  const auto lathe = [&](std::vector<std::string> arguments) {
    const Finished finished = run_lathe({.arguments = std::move(arguments), .folder = scratch.path()});
    CAPTURE(finished.err);
    REQUIRE(finished.code == 0);
    return finished.out;
  };
  lathe({"train", "exp.json", "--out", "run", "--device", "cuda", "--quiet"});
  const Value environment = parse_json(read_text(scratch / "run/environment.json"), "environment");
  CHECK(environment.find("device")->as_string().starts_with("cuda:0 ("));
  CHECK(lathe({"verify", "run", "--device", "cuda:0"}).find("identical") != std::string::npos);
  CHECK(lathe({"verify", "run", "--device", "cpu"}).find("identical") != std::string::npos);
  const Value there = parse_json(lathe({"eval", "run", "--device", "cuda", "--json"}), "eval"),
              here = parse_json(lathe({"eval", "run", "--device", "cpu", "--json"}), "eval");
  const auto loss = [](const Value& result) { return result.find("metrics")->find("loss")->as_real(); };
  CHECK(loss(there) == doctest::Approx(loss(here)).epsilon(1e-5));
  CHECK(lathe({"prove-resume", "exp.json", "--out", "proof", "--stops", "2", "--device", "cuda"})
            .find("identical") != std::string::npos);
  // A run goes on elsewhere: the device is no part of the experiment.
  lathe({"train", "exp.json", "--out", "run", "--resume", "--device", "cpu", "--quiet"});
}

TEST_CASE("a device that is not there ends with exit code 9 and one line") {
  const ScratchFolder scratch;
  write_atomic(scratch / "exp.json", kExperiment);
  for (const std::string& device :
       {std::string("cuda:1000"), std::string(cuda_ready() ? "cuda:1000" : "cuda")}) {
    const Finished finished =
        run_lathe({.arguments = {"train", "exp.json", "--device", device}, .folder = scratch.path()});
    CHECK(finished.code == 9);
    CHECK(finished.err.starts_with("lathe: error: device "));
    CHECK(finished.err.find('\n') == finished.err.size() - 1);
  }
}

TEST_SUITE_END();

}  // namespace lathe::tests
