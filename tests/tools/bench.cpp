// `lathe bench step`: the cases of a peer's script, with as many parameters. `lathe bench quant`: a row for
// each method that the filter leaves, and the float step they are compared with. `lathe bench gpu`: the
// device's limits, and a row for each case. `lathe bench decode --file`: a packed file's weights.

#include <filesystem>
#include <sstream>

#include <doctest/doctest.h>

#include "core/json.h"
#include "quant/pack/packed_model.h"
#include "tests/cuda/device.h"
#include "tests/support/scratch.h"
#include "tests/tools/cli.h"

namespace lathe::tests {

TEST_SUITE_BEGIN("bench");

std::vector<Value> bench_rows(const std::vector<std::string>& arguments) {
  const ScratchFolder scratch;
  const Finished finished = run_lathe({.arguments = arguments, .folder = scratch.path()});
  CAPTURE(finished.err);
  REQUIRE(finished.code == 0);
  std::istringstream lines(finished.out);
  std::vector<Value> rows;
  for (std::string line; std::getline(lines, line);) rows.push_back(parse_json(line, "bench"));
  return rows;
}

TEST_CASE("bench step compares quantizers with float, and knows the memory and the start of a lone case") {
  std::vector<std::string> quants;
  for (const Value& row : bench_rows({"bench", "step", "--model", "gpt", "--batch", "1", "--steps", "2",
                                      "--quant", "none,diffq,codeq,lsq,qat", "--threads", "1", "--json"})) {
    quants.push_back(row.find("quant")->as_string());
    CHECK((row.find("ratio_vs_none_median_of_pairs") != nullptr) == (quants.back() != "none"));
    CHECK(row.find("params")->as_int() == 3323392);
    CHECK(row.find("loss")->as_real() < 10);
  }
  CHECK(quants == std::vector<std::string>{"none", "diffq", "codeq", "lsq", "qat"});
  const std::vector<Value> lone = bench_rows(
      {"bench", "step", "--model", "mlp", "--batch", "2", "--steps", "1", "--threads", "1", "--json"});
  REQUIRE(lone.size() == 1);
  CHECK(lone[0].find("peak_rss_mib")->as_real() > lone[0].find("peak_tensor_mib")->as_real());
  CHECK(lone[0].find("start_to_first_step_s")->as_real() > 0);
}

TEST_CASE("bench step refuses what it does not know") {
  const ScratchFolder scratch;
  const auto says = [&](std::vector<std::string> more, const std::string& text) {
    more.insert(more.begin(), {"bench", "step", "--batch", "1", "--steps", "1"});
    const Finished finished = run_lathe({.arguments = more, .folder = scratch.path()});
    CHECK(finished.code == 2);
    CHECK_MESSAGE(finished.err.find(text) != std::string::npos, finished.err);
  };
  says({"--model", "resnet21"}, "resnet20");
  says({"--model", "mlp", "--quant", "dreft"},
       "there is no quantizer 'dreft' (none, diffq, codeq, lsq, qat)");
}

TEST_CASE("bench refuses options that a benchmark does not take, and filters that leave nothing") {
  const ScratchFolder scratch;
  const auto says = [&](std::vector<std::string> arguments, const std::string& text) {
    arguments.insert(arguments.begin(), "bench");
    const Finished finished = run_lathe({.arguments = arguments, .folder = scratch.path()});
    CHECK(finished.code == 2);
    CHECK_MESSAGE(finished.err.find(text) != std::string::npos, finished.err);
  };
  says({"step", "resnet20"}, "bench step takes no filter: quant, conv, gemm, decode, gpu do");
  says({"limits", "--model", "mlp"}, "bench limits takes no --model: step, quant, gpu do");
  says({"quant", "--file", "m.lathe"}, "bench quant takes no --file: decode does");
  says({"conv", "--batch", "3"}, "bench conv takes no --batch");
  for (const char* what : {"conv", "gemm", "decode"})
    says({what, "none such"}, std::string("bench ") + what + ": no case's name holds 'none such'");
  says({"quant", "none such", "--model", "mlp", "--batch", "2", "--steps", "1"}, "no case's name holds");
}

TEST_CASE("bench limits measures registers and each level of memory for each number of threads") {
  int64_t threads = 1;
  for (const Value& row : bench_rows({"bench", "limits", "--threads", "2", "--json"})) {
    CHECK(row.find("threads")->as_int() == threads++);
    CHECK(row.find("peak_gflops")->as_real() > 0);
    for (const char* level : {"L1", "L2", "L3", "DRAM"}) {
      CAPTURE(level);
      CHECK(row.find(level)->find("gb_per_s")->as_real() > 0);
    }
  }
  CHECK(threads == 3);
}

TEST_CASE("bench decode times a packed file") {
  const ScratchFolder scratch;
  const std::string file = (scratch / "m.lathe").string();
  write_packed(file, {.header = Value::object(), .tensors = {{"w", Tensor::zeros({3, 5})}}});
  const std::vector<Value> rows =
      bench_rows({"bench", "decode", "--file", file, "--seconds", "0.01", "--json"});
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].find("weights")->as_int() == 15);
  CHECK(rows[0].find("size_bytes")->as_int() == static_cast<int64_t>(std::filesystem::file_size(file)));
  CHECK(rows[0].find("ms_median")->as_real() > 0);
  const Finished absent =
      run_lathe({.arguments = {"bench", "decode", "--file", "none.lathe"}, .folder = scratch.path()});
  CHECK(absent.code == 5);
}

TEST_CASE("bench quant prints what each method costs beyond the float step") {
  std::vector<std::string> methods;
  for (const Value& row : bench_rows({"bench", "quant", "4", "--model", "mlp", "--batch", "4", "--steps", "2",
                                      "--threads", "1", "--json"})) {
    methods.push_back(row.find("quant")->as_string());
    const bool plain = methods.back() == "float";
    CHECK(row.find("ms_median")->as_real() > 0);
    CHECK((row.find("alone_ns_per_weight")->as_real() > 0) == !plain);
    CHECK((row.find("extra_copies")->as_real() > 0.5) == !plain);  // the quantized copy
  }
  CHECK(methods == std::vector<std::string>{"float", "minmax 4", "absmax 4", "lsq 4", "codeq 4"});
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("slow bench");

TEST_CASE("bench step has the peer's graphs, parameter for parameter") {
  std::vector<std::string> models;
  for (const Value& row : bench_rows({"bench", "step", "--batch", "1", "--steps", "1", "--quant", "none",
                                      "--threads", "1", "--quiet", "--json"})) {
    models.push_back(row.find("model")->as_string());
    CAPTURE(models.back());
    CHECK(row.find("params")->as_int() == row.find("peer_params")->as_int());
    CHECK(row.find("ms_median")->as_real() >= row.find("ms_best")->as_real());
    CHECK(row.find("peak_rss_mib") == nullptr);  // of several cases
  }
  CHECK(models == std::vector<std::string>{"resnet20", "resnet18", "mobilenet", "vit", "gpt", "demucs"});
}

TEST_CASE("bench step: a step that is warm asks the system for no memory, whatever quantizes its weights") {
  for (const char* model : {"resnet20", "resnet18", "mobilenet", "vit", "gpt", "demucs"}) {
    for (const char* quant : {"none", "diffq", "codeq", "lsq", "qat"}) {
      for (const char* threads : {"1", "2"}) {
        CAPTURE(std::string(model));
        CAPTURE(std::string(quant));
        CAPTURE(std::string(threads));
        const Value row = bench_rows({"bench", "step", "--model", model, "--batch", "2", "--steps", "4",
                                      "--quant", quant, "--threads", threads, "--json"})
                              .at(0);
        CHECK(row.find("system_allocations")->as_int() == 0);
      }
    }
  }
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
