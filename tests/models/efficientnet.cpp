// EfficientNet's stages as text, and what its options build.

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/json.h"
#include "layers/parameter.h"
#include "models/registry.h"
#include "models/stage_string.h"

using namespace lathe;

TEST_SUITE_BEGIN("models");

TEST_CASE("stage strings say what they mean") {
  const StageSpec ir = parse_stage("ir_r2_k5_s2_e4.5_c40_se0.25");
  CHECK(ir.inverted);
  CHECK(ir.repeats == 2);
  CHECK(ir.kernel == 5);
  CHECK(ir.stride == 2);
  CHECK(ir.expand == 4.5);
  CHECK(ir.channels == 40);
  CHECK(ir.squeeze == 0.25);
  const StageSpec ds = parse_stage("ds_c16");
  CHECK_FALSE(ds.inverted);
  CHECK(ds.repeats == 1);
  CHECK(ds.kernel == 3);
  CHECK(ds.squeeze == 0);
}

TEST_CASE("stage strings that mean nothing are named, and what is wrong with them") {
  const auto says = [](const std::string& text, const std::string& what) {
    CAPTURE(text);
    CHECK_THROWS_WITH_AS(parse_stage(text), doctest::Contains(("stage \"" + text + "\": ").c_str()),
                         ConfigError);
    CHECK_THROWS_WITH_AS(parse_stage(text), doctest::Contains(what.c_str()), ConfigError);
  };
  says("", "expected a kind, ds or ir");
  says("cn_c16", "expected a kind, ds or ir");
  says("ir_r2", "\"c\", its channels, is missing");
  says("ir_c16_noskip", "\"noskip\" is no letter with a number");
  says("ir_c16_x3", "\"x3\" is not known");
  says("ir_c16_k4", "a kernel of 4 has no centre");
  says("ir_c16_r0", "\"r0\" must be a whole number from 1 to 65536");
  says("ir_c16_s1.5", "\"s1.5\" must be a whole number");
  says("ir_c16_e0", "\"e0\" must be above 0");
  says("ir_c16_se2", "\"se2\" must be from 0 to 1");
  says("ir_c16_c24", "\"c\" is given twice");
  says("ir_c16_", "nothing stands behind the last \"_\"");
  says("ir_c-16", "\"c-16\" must be a whole number");
  says("ir_c1e3", "\"c1e3\" is no letter with a number");
  says("ds_c16_e6", "a \"ds\" stage does not expand");
}

TEST_CASE("widths are multiples of 8 and never below 90 % of what was asked, depths are rounded up") {
  CHECK(scaled_channels(32, 1.2) == 40);
  CHECK(scaled_channels(16, 1.2) == 24);  // 19.2, of which 16 is less than 90 %
  CHECK(scaled_channels(1280, 1.2) == 1536);
  CHECK(scaled_channels(3, 1) == 8);
  CHECK(scaled_repeats(2, 1.4) == 3);
  CHECK(scaled_repeats(3, 1.0) == 3);
}

TEST_CASE("dropped paths and units change training only, and from step to step") {
  const auto model = model_registry().build(
      parse_json(R"({"type": "efficientnet_b3", "classes": 4, "stem": 8, "head": 16, "drop_path": 0.9,
          "stages": ["ds_c8", "ir_r3_e2_c8_se0.25"], "width_multiplier": 1, "depth_multiplier": 1})",
                 "test"),
      {}, {.seed = 1});
  Tensor images = Tensor::full({4, 16, 16, 3}, 0.5);
  const auto run = [&](Mode mode, uint32_t step) {
    model->run().mode = mode;
    model->run().step = step;
    ++model->run().forward;
    const NoGrad no_grad;
    return model->forward({.inputs = {images}, .size = 4}).data().clone();
  };
  CHECK(same_bits(run(Mode::Train, 1), run(Mode::Train, 1)));
  CHECK_FALSE(same_bits(run(Mode::Train, 1), run(Mode::Train, 2)));
  CHECK(same_bits(run(Mode::Eval, 1), run(Mode::Eval, 2)));
}

TEST_SUITE_END();
