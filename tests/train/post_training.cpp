// Post-training quantization of a run: its quantizers begin as those of a model that is trained.

#include <algorithm>

#include <doctest/doctest.h>

#include "core/json.h"
#include "data/common.h"
#include "data/loader.h"
#include "models/registry.h"
#include "quant/activation.h"
#include "quant/attach.h"
#include "tests/support/scratch.h"
#include "tests/tools/bad_inputs.h"
#include "train/model_state.h"
#include "train/saved_run.h"

namespace lathe::tests {
namespace {

const FieldPath kWhere = {"test", "quant"};

/// A drawn model with the run's weights, under quantizers that were attached to it.
std::unique_ptr<Model> attached(const SavedRun& run, const Value& quant) {
  std::unique_ptr<Model> model = model_registry().build(run.model, {}, RootOptions{.seed = 9});
  attach_quantizers(*model, quant, kWhere);
  load_weights(*model, weights_of(*load_run_model(run)), "test");
  for (Quantizer* quantizer : quantizers_of(*model)) quantizer->initialise();
  return model;
}

/// Shows the run's training data, one epoch in its order, to the activations' quantizers.
void observe(const SavedRun& run, Model& model) {
  const auto split = evaluation_split(run.data, {"test", "data"}, "train", static_cast<uint64_t>(run.seed));
  Loader loader(*split, {.batch = read_data_common(run.data, {"test", "data"}).batch});
  const NoGrad no_grad;
  model.run().mode = Mode::Eval;
  ++model.run().forward;
  const auto all = activation_quantizers_of(model);
  for (ActivationQuantizer* one : all) one->set_observing(true);
  Batch batch;
  for (loader.start(0); loader.next(batch);) model.forward(batch);
  for (ActivationQuantizer* one : all) one->set_observing(false);
}

void check_same_state(const Model& packed, const Model& fresh) {
  const std::vector<NamedTensor> ours = model_state(packed), theirs = model_state(fresh);
  REQUIRE(ours.size() == theirs.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    CAPTURE(ours[i].name);
    CHECK(ours[i].name == theirs[i].name);
    CHECK(same_bits(ours[i].tensor, theirs[i].tensor));
  }
  const std::vector<Quantizer*> left = quantizers_of(packed), right = quantizers_of(fresh);
  REQUIRE(left.size() == right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    const Codes a = left[i]->encode(left[i]->parameter().raw().data()),
                b = right[i]->encode(right[i]->parameter().raw().data());
    CHECK(same_bits(a.integers, b.integers));
    CHECK(same_bits(decode(a), decode(b)));
  }
}

}  // namespace

TEST_SUITE_BEGIN("packed runs");

TEST_CASE("post-training weights: every method begins as on a drawn model with the same weights") {
  const ScratchFolder scratch;
  trained()(scratch.path());
  const SavedRun run = open_run(scratch / "run");
  std::vector<std::string> rules = {
      R"({"type": "codeq", "bits": 4})", R"({"type": "codeq", "learn_bits": true, "init_dead_zone": 1})",
      R"({"type": "diffq", "init_bits": 4})", R"({"type": "lsq", "log_scale": true})",
      R"({"type": "dq", "form": "u3"})"};
  for (const auto& method : quantizer_registry().entries())
    rules.push_back(concat(R"({"type": ")", method.name, R"("})"));
  for (const std::string& rule : rules) {
    CAPTURE(rule);
    const Value quant = parse_json(concat(R"({"rules": [)", rule, "]}"), "test");
    check_same_state(*quantize_run(run, quant, kWhere), *attached(run, quant));
  }
}

TEST_CASE("post-training weights: CoDeQ keeps most of them, DiffQ has the bits it is told") {
  const ScratchFolder scratch;
  trained()(scratch.path());
  const SavedRun run = open_run(scratch / "run");
  const auto first_codes = [&](const char* rules) {
    const auto model = quantize_run(run, parse_json(rules, "test"), kWhere);
    const Quantizer* one = quantizers_of(*model).at(0);
    return one->encode(one->parameter().raw().data());
  };
  const Codes codeq = first_codes(R"({"rules": [{"type": "codeq", "bits": 4}]})");
  const auto integers = codeq.integers.span<int32_t>();
  CHECK(std::count(integers.begin(), integers.end(), 0) < codeq.integers.numel() / 4);
  const Codes diffq = first_codes(R"({"rules": [{"type": "diffq", "init_bits": 4}]})");
  for (const uint8_t width : diffq.bits.span<uint8_t>()) CHECK(width == 4);
}

TEST_CASE(
    "post-training activations: every method has the grid that a fresh one gets from the same batches") {
  const ScratchFolder scratch;
  trained()(scratch.path());
  const SavedRun run = open_run(scratch / "run");
  for (const auto& method : activation_registry().entries()) {
    CAPTURE(method.name);
    const Value quant = parse_json(concat(R"({"activations": [{"type": ")", method.name, R"("}]})"), "test");
    const std::unique_ptr<Model> fresh = attached(run, quant);
    observe(run, *fresh);
    check_same_state(*quantize_run(run, quant, kWhere), *fresh);
  }
}

TEST_SUITE_END();

}  // namespace lathe::tests
