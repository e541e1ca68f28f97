// `lathe bench quant`: a row for each method that the filter leaves, and the float step they are compared
// with. `lathe bench gpu`: the device's limits, and a row for each case.

#include <sstream>

#include <doctest/doctest.h>

#include "core/json.h"
#include "tests/cuda/device.h"
#include "tests/support/scratch.h"
#include "tests/tools/cli.h"

namespace lathe::tests {

TEST_SUITE_BEGIN("bench");

TEST_CASE("bench quant prints what each method costs beyond the float step") {
  const ScratchFolder scratch;
  const Finished finished = run_lathe({.arguments = {"bench", "quant", "4", "--model", "mlp", "--batch", "4",
                                                     "--steps", "2", "--threads", "1", "--json"},
                                       .folder = scratch.path()});
  CAPTURE(finished.err);
  REQUIRE(finished.code == 0);
  std::istringstream lines(finished.out);
  std::vector<std::string> methods;
  for (std::string line; std::getline(lines, line);) {
    const Value row = parse_json(line, "bench");
    methods.push_back(row.find("quant")->as_string());
    const bool plain = methods.back() == "float";
    CHECK(row.find("ms_median")->as_real() > 0);
    CHECK((row.find("alone_ns_per_weight")->as_real() > 0) == !plain);
    CHECK((row.find("extra_copies")->as_real() > 0.5) == !plain);  // the quantized copy
  }
  CHECK(methods == std::vector<std::string>{"float", "minmax 4", "absmax 4", "lsq 4", "codeq 4"});
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("gpu bench");

TEST_CASE("bench gpu times recorded and eager steps") {
  if (!cuda_ready()) return;
  const ScratchFolder scratch;
  const Finished finished = run_lathe({.arguments = {"bench", "gpu", "--model", "mlp", "--batch", "4",
                                                     "--steps", "1", "--filter", "f32 none", "--json"},
                                       .folder = scratch.path()});
  CAPTURE(finished.out);
  CAPTURE(finished.err);
  REQUIRE(finished.code == 0);
  std::istringstream lines(finished.out);
  std::string line;
  REQUIRE(std::getline(lines, line));
  const Value limits = parse_json(line, "bench");
  CHECK(limits.find("copy_gb_per_s")->as_real() > 0);
  std::vector<std::string> names;
  while (std::getline(lines, line)) {
    const Value row = parse_json(line, "bench");
    names.push_back(row.find("case")->as_string());
    CHECK(row.find("recorded")->as_bool() == !names.back().ends_with("eager"));
    CHECK(row.find("ms_median")->as_real() >= row.find("ms_best")->as_real());
    CHECK(row.find("mib")->as_real() > 2);  // weights and momentum: 266,610 numbers each
    CHECK(row.find("loss")->as_real() < 10);
  }
  CHECK(names == std::vector<std::string>{"mlp b4 f32 none", "mlp b4 f32 none eager"});
}

TEST_SUITE_END();

}  // namespace lathe::tests
