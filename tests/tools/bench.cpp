// `lathe bench quant`: a row for each method that the filter leaves, and the float step they are compared
// with.

#include <sstream>

#include <doctest/doctest.h>

#include "core/json.h"
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

}  // namespace lathe::tests
