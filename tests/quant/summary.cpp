// Figures about quantized parameters, and the sentences about them.

#include "quant/summary.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "core/json.h"
#include "layers/init.h"
#include "quant/attach.h"

namespace lathe {
namespace {

struct Net : Module {
  explicit Net(const std::string& rules) : Module({.seed = 7}) {
    attach_quantizers(*this, parse_json(R"({"rules": )" + rules + "}", "test"), {"test", "quant"});
    for (Quantizer* one : quantizers_of(*this)) one->initialise();
  }
  void fill(const std::string& name, double value) {
    Parameter* parameter = find_parameter(name);
    parameter->raw().set_data(Tensor::full(parameter->shape(), value));
  }
  Parameter a{*this, "a", {.shape = {4, 250}, .init = init::normal(0.3)}};
  Parameter b{*this, "b", {.shape = {10, 10}, .init = init::normal(0.3)}};
};

bool has(const QuantDiagnosis& diagnosis, const std::string& warning) {
  return std::find(diagnosis.warnings.begin(), diagnosis.warnings.end(), warning) != diagnosis.warnings.end();
}

}  // namespace

TEST_SUITE_BEGIN("quant methods");

TEST_CASE("healthy quantizers get rows and no warning") {
  Net net(R"([{"match": "a", "type": "lsq", "bits": 4}, {"type": "diffq", "group": 7}])");
  const QuantDiagnosis diagnosis = diagnose_quantizers(net);
  REQUIRE(diagnosis.rows.size() == 2);
  CHECK(diagnosis.warnings.empty());
  CHECK(diagnosis.rows[0].parameter == "a");
  CHECK(diagnosis.rows[0].method == "lsq");
  CHECK(diagnosis.rows[0].elements_of_bits[4] == 1000);
  CHECK(diagnosis.rows[0].sparsity < 0.5);
  CHECK(!diagnosis.rows[0].oscillations);
  CHECK(diagnosis.rows[1].elements_of_bits[8] == 100);
  CHECK(diagnosis.rows[1].avg_bits == 8);
  CHECK(summarize_quantizers(diagnose_quantizers(net))->avg_bits ==
        doctest::Approx((4 * 1000 + 8 * 100) / 1100.0));
  const Value values = to_value(diagnosis.rows);
  CHECK(values.items()[0].find("bits_histogram")->find("4")->as_int() == 1000);
}

TEST_CASE("a group of one weight has no range, which is nothing to warn of") {
  Net net(R"([{"type": "minmax", "bits": 4, "granularity": "group", "group": 9}])");
  CHECK(diagnose_quantizers(net).warnings.empty());
}

TEST_CASE("zeros, floors, bounds and oscillations get a sentence that names the parameter") {
  Net net(R"([{"match": "a", "type": "lsq", "oscillation_momentum": 0.5}, {"type": "diffq", "group": 7}])");
  Tensor sparse = Tensor::zeros({4, 250});
  for (int64_t i = 0; i < 6; ++i) sparse.mut<float>()[i * 31] = 1;
  net.a.raw().set_data(sparse);
  net.find_parameter("a_lsq.step_size")->raw().set_data(Tensor::full({1}, 0.3));
  net.fill("b_diffq.bits", -20);
  QuantDiagnosis diagnosis = diagnose_quantizers(net);
  CHECK(diagnosis.warnings.size() == 2);
  CHECK(has(diagnosis, "a: 99.4 % of its weights are zero"));
  CHECK(has(diagnosis, "b: its widths are pinned at the lower bound of 2 bits"));

  net.fill("b_diffq.bits", 20);
  net.fill("a_lsq.step_size", 0);
  for (Quantizer* one : quantizers_of(net)) one->after_update();
  diagnosis = diagnose_quantizers(net);
  CHECK(has(diagnosis, "a: 100 % of its scales are at their floor"));
  CHECK(has(diagnosis, "b: its widths are pinned at the upper bound of 15 bits"));

  net.fill("a_lsq.step_size", 0.3);
  for (int step = 0; step < 4; ++step) {
    net.fill("a", step % 2 == 0 ? 0.4 : 0.1);
    quantizers_of(net).at(0)->before_update({step, 4});
  }
  diagnosis = diagnose_quantizers(net);
  CHECK(has(diagnosis, "a: 100 % of its weights oscillate"));
  CHECK(diagnosis.rows[0].oscillations->frozen == 0);
}

TEST_CASE("learned widths and floors of CoDeQ and DQ") {
  Net net(R"([{"match": "a", "type": "codeq", "learn_bits": true}, {"type": "dq", "max_bits": 6}])");
  net.fill("a_codeq.bits", 0);
  net.fill("a_codeq.dead_zone", 0);
  net.fill("b_dq.range", 100);
  net.fill("b_dq.step", 0);
  for (Quantizer* one : quantizers_of(net)) one->after_update();
  const QuantDiagnosis diagnosis = diagnose_quantizers(net);
  CHECK(has(diagnosis, "a: its widths are pinned at the lower bound of 2 bits"));
  CHECK(has(diagnosis, "a: 100 % of its scales are at their floor"));
  CHECK(has(diagnosis, "b: its widths are pinned at the upper bound of 6 bits"));
  CHECK(has(diagnosis, "b: 100 % of its scales are at their floor"));
}

TEST_SUITE_END();

}  // namespace lathe
