// Every shipped experiment must read, resolve and build.

#include <filesystem>
#include <set>

#include <doctest/doctest.h>

#include "core/json.h"
#include "train/build.h"
#include "train/model_state.h"
#include "train/sweep.h"

TEST_SUITE_BEGIN("train");

namespace lathe {

namespace {

const std::filesystem::path kFolder = LATHE_SOURCE_DIR "/train/experiments";

/// Reads its own resolved form, and every object but the data can be built.
void check_builds(const Experiment& experiment) {
  const Value resolved = resolve_experiment(experiment);
  CHECK(resolve_experiment(parse_experiment(to_json(resolved, 2), "resolved.json")) == resolved);

  const std::unique_ptr<Model> model = build_model(experiment, Device::meta());
  attach_quantizers(*model, experiment.quant, experiment.where / "quant");
  build_regularizers(experiment.regularizers, experiment.where / "regularizers");
  const auto optimizer =
      optimizer_registry().build(experiment.optimizer, experiment.where / "optimizer", model->parameters());
  size_t updated = 0;
  for (const ParameterGroup& group : optimizer->groups()) updated += group.parameters.size();
  CHECK(updated == unique_parameters(*model).size());
  CHECK(schedule_registry().build(experiment.schedule, experiment.where / "schedule") != nullptr);
}

}  // namespace

TEST_CASE("shipped experiments read, resolve to themselves and build") {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.is_directory()) continue;
    CAPTURE(entry.path().string());
    REQUIRE(entry.path().extension() == ".json");
    const Experiment experiment = load_experiment(entry.path());
    CHECK(experiment.name == entry.path().stem().string());
    CHECK(names.insert(experiment.name).second);
    check_builds(experiment);
  }
  CHECK(names.contains("glyphs"));
  CHECK(names.contains("resnet20-cifar10-quick"));
}

TEST_CASE("shipped sweeps read, and every point builds") {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder / "sweeps")) {
    CAPTURE(entry.path().string());
    const Sweep sweep = load_sweep(entry.path());
    CHECK(sweep.name == entry.path().stem().string());
    names.insert(sweep.name);
    for (const SweepPoint& point : sweep.points) {
      CAPTURE(point.name);
      if (point.trained()) {
        check_builds(load_experiment(point.experiment, point.sets));
      } else {
        CHECK_NOTHROW(resolve_quant(point.quant, point.where));
      }
    }
  }
  CHECK(names.contains("resnet20-cifar10-finetune"));
}

}  // namespace lathe

TEST_SUITE_END();
