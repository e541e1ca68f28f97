// Re-estimated batch-norm statistics.

#include "train/batch_statistics.h"

#include <doctest/doctest.h>

#include "core/files.h"
#include "core/json.h"
#include "data/dataset.h"
#include "layers/parameter.h"
#include "models/registry.h"
#include "tests/support/scratch.h"
#include "tests/tools/bad_inputs.h"
#include "tests/tools/cli.h"
#include "train/checkpoint.h"

namespace lathe::tests {
namespace {

// Three batches of a network with batch norms.
const std::string kData = R"({"type": "glyphs", "train": 48, "test": 16, "batch": 16})";

std::vector<float> values(const Buffer& buffer) {
  const auto data = buffer.data().span<float>();
  return {data.begin(), data.end()};
}

const std::string kExperimentWithNorms = R"({
  "schema": 1, "name": "norms", "seed": 4, "data": )" +
                                         kData + R"(,
  "model": {"type": "resnet20", "blocks": [1, 1, 1]},
  "quant": {"rules": [{"type": "lsq", "bits": 3}]},
  "optimizer": {"type": "sgd", "lr": 0.05, "momentum": 0.9},
  "train": {"epochs": 2, "batch_norm_batches": 2, "ema": 0.5}})";

}  // namespace

TEST_SUITE_BEGIN("train");

TEST_CASE("re-estimated statistics are the mean of the batches', and go again") {
  const Value section = parse_json(kData, "test");
  const DataSplits data = data_registry().build(section, {"test", "data"}, 1);
  const auto model =
      model_registry().build(parse_json(R"({"type": "resnet20", "blocks": [1, 1, 1]})", "test"),
                             {"test", "model"}, RootOptions{.seed = 2});
  LoaderOptions order;
  order.batch = 16;
  Loader loader(*data.train, order);
  Buffer& mean = *model->buffers().at(0);
  REQUIRE(mean.path() == "bn1.running_mean");
  const std::vector<float> before = values(mean);
  std::vector<std::vector<float>> single;
  for (int64_t batches = 1; batches <= 3; ++batches) {
    const UseBatchStatistics statistics(*model, &loader, batches);
    single.push_back(values(mean));
    CHECK(statistics.state().size() == model->buffers().size());
    CHECK(statistics.state()[0].name == mean.path());
  }
  CHECK(values(mean) == before);
  CHECK(model->run().statistics_momentum == 0);

  // What the first batch norm sees depends on no statistics: the mean of two batches is that of their union.
  order.batch = 32;
  Loader both(*data.train, order);
  {
    const UseBatchStatistics statistics(*model, &both, 1);
    for (size_t c = 0; c < before.size(); ++c) CHECK(values(mean)[c] == doctest::Approx(single[1][c]));
  }
  CHECK(single[1] != single[0]);
  CHECK(single[2] != single[1]);
  const UseBatchStatistics none(*model, nullptr, 3);
  CHECK(values(mean) == before);
}

TEST_CASE("a run with re-estimated statistics stores what it evaluated, and resumes with the same bits") {
  const ScratchFolder scratch;
  write_atomic(scratch / "exp.json", kExperimentWithNorms);
  const auto lathe = [&](std::vector<std::string> arguments) {
    const Finished finished = run_lathe({.arguments = std::move(arguments), .folder = scratch.path()});
    CHECK_MESSAGE(finished.code == 0, finished.err);
    return finished.out;
  };
  lathe({"train", "exp.json", "--out", "run", "--quiet"});
  CHECK(lathe({"verify", "run"}).starts_with("identical: "));
  const Checkpoint checkpoint = read_newest_checkpoint(scratch / "run/checkpoints").value();
  REQUIRE(!checkpoint.evaluated.empty());
  const Value evaluated = parse_json(lathe({"eval", "run/model.lathe", "--json"}), "eval"),
              summary = parse_json(read_text(scratch / "run/summary.json"), "summary");
  CHECK(*evaluated.find("metrics")->find("top1") == *summary.find("value"));
  CHECK(*evaluated.find("metrics")->find("loss") == *summary.find("metrics")->find("loss"));

  const std::string proof = lathe({"prove-resume", "exp.json", "--stops", "2", "--out", "proof"});
  CHECK(proof.find("identical") != std::string::npos);

  // Without them, other statistics are stored.
  lathe({"train", "exp.json", "--out", "plain", "--quiet", "--set", "train.batch_norm_batches=0"});
  CHECK(read_bytes(scratch / "plain/model.lathe") != read_bytes(scratch / "run/model.lathe"));
}

TEST_SUITE_END();

}  // namespace lathe::tests
