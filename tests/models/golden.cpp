// The golden model files of the registry's models; `lathe_tests --golden DIR` runs any folder.

#include "tests/support/golden.h"

#include <doctest/doctest.h>

#include "core/files.h"
#include "core/json.h"
#include "tests/golden/fill.h"
#include "tests/golden/models.h"
#include "tests/support/scratch.h"

using namespace lathe;
using golden::GoldenResult;

namespace {

void check_file(const std::string& name) {
  const auto folder = tests::golden_folder("models");
  if (!folder) return;
  CAPTURE(name);
  const std::vector<GoldenResult> rows = golden::run_model_golden(*folder / (name + ".json"));
  CHECK(rows.size() > 2);
  for (const GoldenResult& row : rows)
    CHECK_MESSAGE(row.status == GoldenResult::Passed, row.check, ": ", row.message);
}

// What the runner says of a file with this text.
GoldenResult verdict(const std::string& text) {
  const tests::ScratchFolder folder;
  write_atomic(folder / "case.json", text);
  const std::vector<GoldenResult> rows = golden::run_model_goldens(folder.path());
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].file == "case");
  return rows[0];
}

}  // namespace

TEST_SUITE_BEGIN("golden models");

TEST_CASE("the fill is the one the files were made with") {
  CHECK(golden::fill_hash(0, 0) == 0x11FD02EBu);
  CHECK(golden::fill_hash(12345, 7) == 0xE2B76F76u);
  CHECK(golden::fill_hash(33554431, 60) == 0xB0F35944u);
  CHECK(golden::fill_unit(3071, 65536) == -0.70966589450836182);
  const std::vector<double> conv = golden::fill_tensor("weight", {16, 3, 3, 3}, 0, 1);
  CHECK(conv[0] == doctest::Approx(-0.286488771).epsilon(1e-8));
  CHECK(conv[1] == doctest::Approx(0.0997236967).epsilon(1e-8));
  CHECK(golden::fill_indices("h(i,65538) mod 10", 2) == std::vector<int64_t>{6, 9});
  CHECK(golden::fill_indices("4 + h(i,65538) mod 10", 1) == std::vector<int64_t>{10});
  CHECK(golden::fill_input("0.5*s(i,65536)", 1)[0] == -0.57896184921264648 / 2);
  CHECK_THROWS_AS(golden::fill_input("s(i,65536) and more", 1), FormatError);
  CHECK_THROWS_AS(golden::fill_indices("h(i)", 1), FormatError);
  CHECK_THROWS_AS(golden::fill_tensor("ones", {2}, 0, 1), FormatError);
}

TEST_CASE("what cannot be run is named, what is broken fails") {
  const GoldenResult unknown =
      verdict(R"({"schema": "model-golden-v1", "lathe": {"type": "resnet2000"}, "input": {}, "loss": ""})");
  CHECK(unknown.status == GoldenResult::Unsupported);
  CHECK(unknown.message.find("'resnet2000'") != std::string::npos);
  CHECK(verdict(R"({"schema": "model-golden-v9"})").status == GoldenResult::Unsupported);
  CHECK(verdict("{").status == GoldenResult::Failed);
  CHECK(verdict("[1]").status == GoldenResult::Failed);
  CHECK(verdict(R"({"schema": "model-golden-v1", "lathe": {"type": "lenet", "clases": 3}})").status ==
        GoldenResult::Failed);
  const GoldenResult lacking = verdict(R"json({"schema": "model-golden-v1", "lathe": {"type": "mlp"},
      "loss": "mean cross entropy", "input": {"x": {"shape": [2, 1, 28, 28], "rule": "s(i,65536)"},
      "labels": {"shape": [2], "rule": "h(i,65538) mod 10"}}})json");
  CHECK(lacking.status == GoldenResult::Failed);
  CHECK(lacking.message.find("'n_params' is missing") != std::string::npos);
}

TEST_CASE("a reference that is off by a little is noticed, in the check that it belongs to") {
  const auto folder = tests::golden_folder("models");
  if (!folder) return;
  const std::string name = "resnet20_optionB.json";
  const Value original = parse_json(read_text(*folder / name), name);
  struct Change {
    std::vector<std::string> path;  // to a number, or to a list whose second number changes
    std::string check;
  };
  const Change changes[] = {
      {{"results", "eval", "output", "values"}, "f64 eval output"},
      {{"results", "eval", "loss"}, "f64 eval loss"},
      {{"results", "train", "grads", "layer2.0.shortcut.0.weight"},
       "f64 train grad layer2.0.shortcut.0.weight"},
      {{"results", "train", "input_grad"}, "f64 train input_grad"},
      {{"results", "train", "running_stats_after_forward", "bn1.running_var"}, "f64 train bn1.running_var"},
      {{"results", "train", "sgd_step", "loss_after"}, "f64 train loss after one step"},
  };
  const tests::ScratchFolder scratch;
  for (const Change& change : changes) {
    CAPTURE(change.check);
    Value file = original;
    Value* place = &file;
    for (const std::string& key : change.path) {
      place = place->find(key);
      REQUIRE(place != nullptr);
    }
    if (place->is(Value::Type::Array)) {
      std::vector<Value> items = place->items();
      items[1] = Value::real(items[1].as_real() + 1e-6);
      *place = Value::array(items);
    } else {
      *place = Value::real(place->as_real() + 1e-6);
    }
    write_atomic(scratch / name, to_json(file));
    std::vector<std::string> failed;
    for (const GoldenResult& row : golden::run_model_golden(scratch / name, {.dtypes = {DType::F64}})) {
      if (row.status != GoldenResult::Passed) failed.push_back(row.check);
    }
    CHECK(failed == std::vector<std::string>{change.check});
  }
}

TEST_CASE("a file without a model section is known by its name") {
  const auto folder = tests::golden_folder("models");
  if (!folder) return;
  const std::string name = "resnet20_optionB.json";
  const Value original = parse_json(read_text(*folder / name), name);
  Value file = Value::object();
  for (const auto& [key, value] : original.members()) {
    if (key != "lathe") file.set(key, value);
  }
  const tests::ScratchFolder scratch;
  write_atomic(scratch / name, to_json(file));
  write_atomic(scratch / "stranger.json", to_json(file));
  for (const GoldenResult& row : golden::run_model_golden(scratch / name))
    CHECK_MESSAGE(row.status == GoldenResult::Passed, row.check, ": ", row.message);
  const std::vector<GoldenResult> rows = golden::run_model_goldens(scratch.path(), "stranger");
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].status == GoldenResult::Unsupported);
}

TEST_CASE("resnet20_cifar10") {
  check_file("resnet20_cifar10");
}
TEST_CASE("resnet20_optionB") {
  check_file("resnet20_optionB");
}
TEST_CASE("wrn_10_1_tiny") {
  check_file("wrn_10_1_tiny");
}
TEST_CASE("cifar_mobilenet") {
  check_file("cifar_mobilenet");
}
TEST_CASE("tv_resnet_bottleneck_tiny") {
  check_file("tv_resnet_bottleneck_tiny");
}
TEST_CASE("cifar_vit_tiny") {
  check_file("cifar_vit_tiny");
}
TEST_CASE("deit_micro") {
  check_file("deit_micro");
}
TEST_CASE("efficientnet_tiny") {
  check_file("efficientnet_tiny");
}
TEST_CASE("gpt_micro") {
  check_file("gpt_micro");
}
TEST_CASE("demucs_v1_micro") {
  check_file("demucs_v1_micro");
}
TEST_CASE("demucs_v2_micro") {
  check_file("demucs_v2_micro");
}
TEST_CASE("demucs_v2_micro_noresample") {
  check_file("demucs_v2_micro_noresample");
}
TEST_CASE("demucs_v2_relu_norewrite") {
  check_file("demucs_v2_relu_norewrite");
}
TEST_CASE("demucs_eval_protocol") {
  check_file("demucs_eval_protocol");
}

TEST_CASE("lm_adaptive_micro") {
  check_file("lm_adaptive_micro");
}
TEST_CASE("lm_adaptive_micro_pad") {
  check_file("lm_adaptive_micro_pad");
}
TEST_CASE("lm_adaptive_small") {
  check_file("lm_adaptive_small");
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("slow golden models");

TEST_CASE("cifar_resnet10_tiny") {
  check_file("cifar_resnet10_tiny");
}
TEST_CASE("cifar_resnet18") {
  check_file("cifar_resnet18");
}
TEST_CASE("wrn_28_10") {
  check_file("wrn_28_10");
}
TEST_CASE("tv_resnet18") {
  check_file("tv_resnet18");
}
TEST_CASE("tv_resnet18_224_eval") {
  check_file("tv_resnet18_224_eval");
}
TEST_CASE("tv_resnet50") {
  check_file("tv_resnet50");
}
TEST_CASE("tv_resnet50_224_eval") {
  check_file("tv_resnet50_224_eval");
}

TEST_CASE("mobilenetv1_100") {
  check_file("mobilenetv1_100");
}
TEST_CASE("efficientnet_b3") {
  check_file("efficientnet_b3");
}
TEST_CASE("efficientnet_b3_300_eval") {
  check_file("efficientnet_b3_300_eval");
}
TEST_CASE("tiny_vit_5m_64px") {
  check_file("tiny_vit_5m_64px");
}
TEST_CASE("tiny_vit_5m_224_eval") {
  check_file("tiny_vit_5m_224_eval");
}
TEST_CASE("cifar_vit") {
  check_file("cifar_vit");
}
TEST_CASE("deit_tiny") {
  check_file("deit_tiny");
}
TEST_CASE("deit_small_eval") {
  check_file("deit_small_eval");
}
TEST_CASE("deit_base_eval") {
  check_file("deit_base_eval");
}
TEST_CASE("gpt_shakespeare_char") {
  check_file("gpt_shakespeare_char");
}
TEST_CASE("demucs_v2_unittest_ch4_depth6") {
  check_file("demucs_v2_unittest_ch4_depth6");
}
TEST_CASE("demucs_v2_64ch_eval") {
  check_file("demucs_v2_64ch_eval");
}

TEST_CASE("lm_wiki103_full_eval") {
  check_file("lm_wiki103_full_eval");
}

TEST_SUITE_END();
