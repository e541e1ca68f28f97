#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/cpu/isa.h"
#include "core/parallel.h"
#include "tools/bench/conv.h"
#include "tools/bench/decode.h"
#include "tools/bench/gemm.h"
#include "tools/bench/quant.h"
#include "tools/bench/step.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/output.h"

namespace lathe::cli {
namespace {

struct BenchArguments {
  std::string what = "step";
  std::string filter;
  std::string model = "resnet20";
  int64_t batch = 128;
  int64_t steps = 8;
  double seconds = 0.2;
};

void print_rows(const Session& session, const std::string& bench, const std::vector<bench::Row>& rows) {
  if (session.json) {
    for (const bench::Row& row : rows) {
      print_json(Value::object({{"bench", Value::string(bench)},
                                {"case", Value::string(row.name)},
                                {"pass", Value::string(row.pass)},
                                {"threads", Value::integer(num_threads())},
                                {"ms_best", Value::real(row.ms_least)},
                                {"ms_median", Value::real(row.ms_median)},
                                {"gflops", Value::real(row.gflops)},
                                {"share_of_peak", Value::real(row.share_of_peak)}}));
    }
    return;
  }
  std::vector<std::vector<std::string>> table = {
      {"case", "pass", "ms best", "ms median", "GFLOP/s", "of peak"}};
  for (const bench::Row& row : rows) {
    table.push_back({row.name, row.pass, fmt::format("{:.3f}", row.ms_least),
                     fmt::format("{:.3f}", row.ms_median), fmt::format("{:.1f}", row.gflops),
                     fmt::format("{:.0f} %", 100 * row.share_of_peak)});
  }
  print_table(table);
}

int bench_conv(const Session& session, const BenchArguments& arguments) {
  const std::vector<bench::Row> rows = bench::bench_conv(arguments.filter, arguments.seconds);
  print_rows(session, "conv", rows);
  const double total = bench::resnet20_conv_ms(rows);
  if (total > 0 && !session.json)
    fmt::print("\nall convolutions of a ResNet-20 step, batch 128: {:.1f} ms\n", total);
  return kOk;
}

int bench_gemm(const Session& session, const BenchArguments& arguments) {
  print_rows(session, "gemm", bench::bench_gemm(arguments.filter, arguments.seconds));
  return kOk;
}

int bench_decode(const Session& session, const BenchArguments& arguments) {
  const std::vector<bench::CodecRow> rows = bench::bench_decode(arguments.filter, arguments.seconds);
  std::vector<std::vector<std::string>> table = {
      {"case", "codec", "bits/weight", "codes M/s", "weights M/s", "pack s"}};
  for (const bench::CodecRow& row : rows) {
    if (session.json) {
      print_json(Value::object({{"bench", Value::string("decode")},
                                {"case", Value::string(row.name)},
                                {"codec", Value::string(row.codec)},
                                {"threads", Value::integer(num_threads())},
                                {"weights", Value::integer(row.weights)},
                                {"bits_per_weight", Value::real(row.bits_per_weight)},
                                {"codes_m_per_s_median", Value::real(row.parse_rate)},
                                {"weights_m_per_s_median", Value::real(row.decode_rate)},
                                {"pack_s", Value::real(row.pack_seconds)}}));
    }
    table.push_back({row.name, row.codec, fmt::format("{:.3f}", row.bits_per_weight),
                     fmt::format("{:.0f}", row.parse_rate), fmt::format("{:.0f}", row.decode_rate),
                     fmt::format("{:.2f}", row.pack_seconds)});
  }
  if (!session.json) print_table(table);
  return kOk;
}

int bench_quant(const Session& session, const BenchArguments& arguments) {
  const std::vector<bench::QuantCost> costs =
      bench::bench_quant(arguments.model, arguments.batch, arguments.steps, arguments.filter);
  std::vector<std::vector<std::string>> table = {
      {"method", "ms median", "overhead", "alone", "ns/weight", "extra copies"}};
  for (const bench::QuantCost& cost : costs) {
    if (session.json) {
      print_json(Value::object({{"bench", Value::string("quant")},
                                {"model", Value::string(arguments.model)},
                                {"batch", Value::integer(cost.batch)},
                                {"quant", Value::string(cost.name)},
                                {"threads", Value::integer(num_threads())},
                                {"isa", Value::string(std::string(to_string(cpu::active_isa())))},
                                {"ms_median", Value::real(cost.ms_median)},
                                {"overhead", Value::real(cost.overhead)},
                                {"alone_share", Value::real(cost.alone_share)},
                                {"alone_ns_per_weight", Value::real(cost.alone_ns_per_weight)},
                                {"extra_copies", Value::real(cost.extra_copies)}}));
    }
    table.push_back(
        {cost.name, fmt::format("{:.2f}", cost.ms_median), fmt::format("{:+.1f} %", 100 * cost.overhead),
         fmt::format("{:.2f} %", 100 * cost.alone_share), fmt::format("{:.2f}", cost.alone_ns_per_weight),
         fmt::format("{:.2f}", cost.extra_copies)});
  }
  if (!session.json) print_table(table);
  return kOk;
}

int bench_step(const Session& session, const BenchArguments& arguments) {
  const bench::StepResult result = bench::bench_step({arguments.model, arguments.batch, arguments.steps});
  if (session.json) {
    print_json(Value::object({{"bench", Value::string("step")},
                              {"model", Value::string(arguments.model)},
                              {"batch", Value::integer(arguments.batch)},
                              {"quant", Value::string("none")},
                              {"threads", Value::integer(num_threads())},
                              {"isa", Value::string(std::string(to_string(cpu::active_isa())))},
                              {"ms_best", Value::real(result.ms_best)},
                              {"ms_median", Value::real(result.ms_median)},
                              {"samples_per_s_median", Value::real(result.samples_per_second)},
                              {"peak_rss_mib", Value::real(result.peak_rss_mib)},
                              {"loss", Value::real(result.loss)}}));
    return kOk;
  }
  fmt::print(
      "{} batch {}, {} threads, {}: best {:.1f} ms, median {:.1f} ms, {:.0f} samples/s, peak memory {:.0f} "
      "MiB\n",
      arguments.model, arguments.batch, num_threads(), to_string(cpu::active_isa()), result.ms_best,
      result.ms_median, result.samples_per_second, result.peak_rss_mib);
  return kOk;
}

int bench_limits(const Session& session, const BenchArguments&) {
  const double peak = bench::peak_gflops();
  if (session.json) {
    print_json(Value::object({{"bench", Value::string("limits")},
                              {"threads", Value::integer(num_threads())},
                              {"isa", Value::string(std::string(to_string(cpu::active_isa())))},
                              {"peak_gflops", Value::real(peak)}}));
  } else {
    fmt::print("{} threads, {}: {:.0f} GFLOP/s in f32 on registers alone\n", num_threads(),
               to_string(cpu::active_isa()), peak);
  }
  return kOk;
}

int bench(const Session& session, const BenchArguments& arguments) {
  if (arguments.what == "conv") return bench_conv(session, arguments);
  if (arguments.what == "gemm") return bench_gemm(session, arguments);
  if (arguments.what == "decode") return bench_decode(session, arguments);
  if (arguments.what == "quant") return bench_quant(session, arguments);
  if (arguments.what == "limits") return bench_limits(session, arguments);
  return bench_step(session, arguments);
}

}  // namespace

void add_bench(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand(
      "bench", "Benchmark cases: medians of several runs, as a share of the machine's limit");
  command->footer(
      "Examples:\n  lathe bench step --model resnet20 --batch 128 --threads 2\n  lathe bench conv 'r20'\n"
      "  lathe bench gemm --json\n  lathe bench decode --threads 1\n  lathe bench quant --batch 8 --steps "
      "100 --threads 1\n  "
      "lathe bench limits");
  auto arguments = std::make_shared<BenchArguments>();
  command->add_option("NAME", arguments->what, "step, quant, conv, gemm, decode or limits")
      ->check(CLI::IsMember({"step", "quant", "conv", "gemm", "decode", "limits"}));
  command->add_option("FILTER", arguments->filter,
                      "Only cases whose name contains this (quant, conv, gemm, decode)");
  command->add_option("--model", arguments->model, "Model of `step` and `quant`");
  command->add_option("--batch", arguments->batch, "Batch size of `step` and `quant`")
      ->check(CLI::PositiveNumber);
  command->add_option("--steps", arguments->steps, "Timed steps of `step`, rounds of `quant`")
      ->check(CLI::PositiveNumber);
  command->add_option("--seconds", arguments->seconds, "Time per case (conv, gemm, decode)")
      ->check(CLI::PositiveNumber);
  add_common_options(*command, session);
  command->callback([&session, arguments] {
    session.command = [&session, arguments] { return bench(session, *arguments); };
  });
}

}  // namespace lathe::cli
