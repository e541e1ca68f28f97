// Golden ops under doctest, and the runner's own behaviour on planted files.

#include <sstream>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "tests/golden/runner.h"
#include "tests/support/golden.h"
#include "tests/support/scratch.h"

namespace lathe::golden {
namespace {

// y = relu(x) with one number wrong where asked.
std::string relu_file(const std::string& op, double y0, double dx0, const std::string& attrs = "{}") {
  const auto tensor = [](const std::string& name, const std::string& data) {
    return "{\"" + name + R"(":{"shape":[2],"dtype":"float64","data":[)" + data + "]}}";
  };
  return R"({"schema":"op-golden-v1","name":"planted","op":")" + op + R"(","attrs":)" + attrs +
         R"(,"inputs":)" + tensor("x", "1.5,-2") + R"(,"outputs":)" + tensor("y", concat(y0, ",0")) +
         R"(,"grad_outputs":)" + tensor("y", "2,3") + R"(,"grad_inputs":)" + tensor("x", concat(dx0, ",0")) +
         "}";
}

GoldenResult::Status worst(const std::vector<GoldenResult>& results) {
  GoldenResult::Status status = GoldenResult::Passed;
  for (const GoldenResult& result : results) {
    if (result.status != GoldenResult::Passed) status = result.status;
    if (result.status == GoldenResult::Failed) break;
  }
  return status;
}

GoldenResult::Status run_text(const std::string& text) {
  return worst(run_op(parse_op_file(text, "planted")));
}

}  // namespace

TEST_SUITE_BEGIN("golden ops");

TEST_CASE("every golden op passes") {
  const auto folder = tests::golden_folder("ops");
  if (!folder) return;
  const auto results = run_op_goldens(*folder);
  CHECK(results.size() > 500);
  for (const GoldenResult& result : results) {
    INFO(result.file, " ", result.check, ": ", result.message);
    CHECK(result.status == GoldenResult::Passed);
  }
}

TEST_CASE("a wrong number fails, in the output or in the gradient") {
  CHECK(run_text(relu_file("relu", 1.5, 2)) == GoldenResult::Passed);
  CHECK(run_text(relu_file("relu", 1.5001, 2)) == GoldenResult::Failed);
  CHECK(run_text(relu_file("relu", 1.5, -2)) == GoldenResult::Failed);
}

TEST_CASE("what the library lacks is unsupported by name") {
  const auto unknown = run_op(parse_op_file(relu_file("frobnicate", 1.5, 2), "planted"));
  REQUIRE(unknown.size() == 1);
  CHECK(unknown[0].status == GoldenResult::Unsupported);
  CHECK(unknown[0].message.find("frobnicate") != std::string::npos);
  // An option that the runner does not pass on would change what the op means.
  CHECK(run_text(relu_file("relu", 1.5, 2, R"({"threshold": 1})")) == GoldenResult::Unsupported);
}

TEST_CASE("a malformed file fails and is named") {
  const tests::ScratchFolder folder;
  write_atomic(folder / "cut.json", std::string_view("{\"schema\": \"op-golden-v1\", "));
  std::string short_data = relu_file("relu", 1.5, 2);
  short_data.replace(short_data.find("1.5,-2"), 6, "1.5");
  write_atomic(folder / "short.json", short_data);
  write_atomic(folder / "good.json", relu_file("relu", 1.5, 2));
  write_atomic(folder / "_index.json", std::string_view("{}"));
  std::ostringstream out;
  CHECK(run_goldens(folder.path(), out) == 1);
  CHECK(out.str().find("/cut: ") != std::string::npos);
  CHECK(out.str().find("/short: ") != std::string::npos);
  CHECK(out.str().find("/good") == std::string::npos);
  CHECK(out.str().find("_index") == std::string::npos);
}

TEST_CASE("a folder with the usual names is run group by group") {
  const tests::ScratchFolder folder;
  std::ostringstream nothing;
  CHECK(run_goldens(folder.path(), nothing) == 1);
  std::filesystem::create_directory(folder / "ops");
  std::filesystem::create_directory(folder / "quant");
  write_atomic(folder / "ops/relu.json", relu_file("relu", 1.5, 2));
  write_atomic(folder / "quant/99_later.json", std::string_view("{}"));
  std::ostringstream out;
  CHECK(run_goldens(folder.path(), out) == 0);
  CHECK(out.str().find("UNSUPPORTED  quant/99_later") != std::string::npos);
  CHECK(out.str().find("ops              1       0            0") != std::string::npos);
  write_atomic(folder / "quant/02_lsq.json", std::string_view("{}"));
  CHECK(run_goldens(folder.path(), out) == 1);
  CHECK(out.str().find("FAILED       quant/02_lsq [cases]: the file lacks this section") !=
        std::string::npos);
}

TEST_SUITE_END();

}  // namespace lathe::golden
