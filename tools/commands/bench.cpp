#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string_view>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/cpu/isa.h"
#include "core/math_mode.h"
#include "core/parallel.h"
#include "tools/bench/conv.h"
#include "tools/bench/decode.h"
#include "tools/bench/gemm.h"
#include "tools/bench/gpu.h"
#include "tools/bench/limits.h"
#include "tools/bench/quant.h"
#include "tools/commands.h"
#include "tools/commands/bench_step.h"
#include "tools/exit_code.h"
#include "tools/output.h"

namespace lathe::cli {
namespace {

struct BenchArguments {
  std::string what = "step";
  std::string filter, file;
  std::vector<std::string> models, quants;
  std::optional<int64_t> batch, steps;
  double seconds = 0.2;
  bool no_winograd = false;
};

void check_any(bool any, const BenchArguments& arguments) {
  LATHE_CHECK(ConfigError, any, "bench ", arguments.what, ": no case's name holds '", arguments.filter, "'");
}

/// Of benchmarks that take one.
std::optional<std::string> model_of(const BenchArguments& arguments) {
  LATHE_CHECK(ConfigError, arguments.models.size() < 2, "bench ", arguments.what,
              ": expected one model, found ", arguments.models.size());
  return arguments.models.empty() ? std::nullopt : std::optional(arguments.models.front());
}

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
                                {"share_of_peak", Value::real(row.share_of_peak)},
                                {"share_of_dram", Value::real(row.share_of_dram)}}));
    }
    return;
  }
  std::vector<std::vector<std::string>> table = {
      {"case", "pass", "ms best", "ms median", "GFLOP/s", "of peak", "of DRAM"}};
  for (const bench::Row& row : rows) {
    table.push_back({row.name, row.pass, fmt::format("{:.3f}", row.ms_least),
                     fmt::format("{:.3f}", row.ms_median), fmt::format("{:.1f}", row.gflops),
                     fmt::format("{:.0f} %", 100 * row.share_of_peak),
                     fmt::format("{:.0f} %", 100 * row.share_of_dram)});
  }
  print_table(table);
}

int bench_conv(const Session& session, const BenchArguments& arguments) {
  const std::vector<bench::Row> rows = bench::bench_conv(arguments.filter, arguments.seconds);
  check_any(!rows.empty(), arguments);
  print_rows(session, "conv", rows);
  const double total = bench::resnet20_conv_ms(rows);
  if (total > 0 && !session.json)
    fmt::print("\nall convolutions of a ResNet-20 step, batch 128: {:.1f} ms\n", total);
  return kOk;
}

int bench_gemm(const Session& session, const BenchArguments& arguments) {
  const std::vector<bench::Row> rows = bench::bench_gemm(arguments.filter, arguments.seconds);
  check_any(!rows.empty(), arguments);
  print_rows(session, "gemm", rows);
  return kOk;
}

int bench_decode_file(const Session& session, const std::string& file, double seconds) {
  const bench::FileRow row = bench::bench_decode_file(file, seconds);
  if (session.json) {
    print_json(Value::object({{"bench", Value::string("decode")},
                              {"file", Value::string(file)},
                              {"threads", Value::integer(num_threads())},
                              {"size_bytes", Value::integer(row.file_bytes)},
                              {"weights", Value::integer(row.weights)},
                              {"ms_best", Value::real(1e3 * row.times.least)},
                              {"ms_median", Value::real(1e3 * row.times.median)}}));
  } else {
    fmt::print("{}: {} to {} weights in {:.3f} s, the median ({:.3f} s at best), {} thread{}\n", file,
               human_bytes(static_cast<double>(row.file_bytes)), grouped(row.weights), row.times.median,
               row.times.least, num_threads(), num_threads() == 1 ? "" : "s");
  }
  return kOk;
}

int bench_decode(const Session& session, const BenchArguments& arguments) {
  if (!arguments.file.empty()) return bench_decode_file(session, arguments.file, arguments.seconds);
  const std::vector<bench::CodecRow> rows = bench::bench_decode(arguments.filter, arguments.seconds);
  check_any(!rows.empty(), arguments);
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
  const std::string model = model_of(arguments).value_or("resnet20");
  const std::vector<bench::QuantCost> costs =
      bench::bench_quant(model, arguments.batch.value_or(128), arguments.steps.value_or(8), arguments.filter);
  check_any(arguments.filter.empty() || costs.size() > 1, arguments);  // the float step is always there
  std::vector<std::vector<std::string>> table = {
      {"method", "ms median", "overhead", "alone", "ns/weight", "extra copies"}};
  for (const bench::QuantCost& cost : costs) {
    if (session.json) {
      print_json(Value::object({{"bench", Value::string("quant")},
                                {"model", Value::string(model)},
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

bench::StepOptions step_options(const BenchArguments& arguments) {
  bench::StepOptions options{.models = arguments.models, .batch = arguments.batch};
  options.steps = arguments.steps.value_or(options.steps);
  if (!arguments.quants.empty()) {
    options.quants = arguments.quants;
  } else if (options.models.empty()) {
    options.quants = bench::step_quants();
  }
  return options;
}

Value to_value(const bench::Limits& limits) {
  Value value = Value::object({{"bench", Value::string("limits")},
                               {"threads", Value::integer(limits.threads)},
                               {"isa", Value::string(std::string(to_string(cpu::active_isa())))},
                               {"peak_gflops", Value::real(limits.gflops)}});
  for (const bench::Bandwidth& one : limits.bandwidths) {
    Value level = Value::object(
        {{"gb_per_s", Value::real(one.gb_per_second)}, {"bytes_each", Value::integer(one.bytes_each)}});
    value.set(one.level, std::move(level));
  }
  return value;
}

/// 1, 2, 4, ... and as many threads as there are.
std::vector<int> thread_counts() {
  std::vector<int> counts;
  for (int n = 1; n < num_threads(); n *= 2) counts.push_back(n);
  counts.push_back(num_threads());
  return counts;
}

int bench_limits(const Session& session, const BenchArguments&) {
  std::vector<std::vector<std::string>> table = {{"limit", "each thread's"},
                                                 {"f32 FMA, GFLOP/s", "registers"}};
  for (const int threads : thread_counts()) {
    set_num_threads(threads);
    const bench::Limits limits = bench::measure_limits();
    if (session.json) print_json(to_value(limits));
    table[0].push_back(fmt::format("{} thread{}", threads, threads == 1 ? "" : "s"));
    table[1].push_back(fmt::format("{:.0f}", limits.gflops));
    for (size_t i = 0; i < limits.bandwidths.size(); ++i) {
      const bench::Bandwidth& one = limits.bandwidths[i];
      if (table.size() < i + 3)
        table.push_back({one.level + " triad, GB/s", fmt::format("{} KiB", one.bytes_each / 1024)});
      table[i + 2].push_back(fmt::format("{:.0f}", one.gb_per_second));
    }
  }
  if (!session.json) {
    fmt::print("{}\n", to_string(cpu::active_isa()));
    print_table(table);
  }
  return kOk;
}

Value to_value(const bench::GpuRow& row) {
  const bench::GpuCase& one = row.gpu_case;
  Value value = Value::object({{"bench", Value::string("gpu")},
                               {"case", Value::string(one.name)},
                               {"model", Value::string(one.model)},
                               {"batch", Value::integer(one.training.batch)},
                               {"precision", Value::string(one.training.precision)},
                               {"quant", Value::string(one.quant)}});
  if (!row.error.empty()) {
    value.set("error", Value::string(row.error));
    return value;
  }
  value.set("recorded", Value::boolean(row.recorded));
  value.set("ms_median", Value::real(row.ms_median));
  value.set("ms_best", Value::real(row.ms_least));
  value.set("unit", Value::string(one.unit));
  value.set("per_second", Value::real(row.per_second));
  value.set("mib", Value::real(row.mib));
  value.set("share_of_peak", Value::real(row.share_of_peak));
  value.set("loss", Value::real(row.loss));
  return value;
}

void print_limits(const Session& session, Device device, const bench::GpuLimits& limits) {
  if (session.json) {
    print_json(Value::object({{"bench", Value::string("gpu limits")},
                              {"device", Value::string(to_string(device))},
                              {"f32_tflops", Value::real(limits.f32_tflops)},
                              {"tf32_tflops", Value::real(limits.tf32_tflops)},
                              {"bf16_tflops", Value::real(limits.bf16_tflops)},
                              {"copy_gb_per_s", Value::real(limits.copy_gb_per_second)}}));
    return;
  }
  fmt::print(
      "{}: products at {:.1f} TFLOP/s in f32, {:.1f} in tf32, {:.1f} in bf16; copies at {:.0f} GB/s\n\n",
      to_string(device), limits.f32_tflops, limits.tf32_tflops, limits.bf16_tflops,
      limits.copy_gb_per_second);
}

int bench_gpu(const Session& session, const BenchArguments& arguments) {
  const Device device = available_device(session.device == "auto" ? "cuda:0" : session.device);
  LATHE_CHECK(DeviceError, device.type == DeviceType::Cuda, "bench gpu: ", device, " is no CUDA device");
  const bench::GpuBench gpu{device, arguments.filter, model_of(arguments), arguments.batch,
                            arguments.steps.value_or(20)};
  const std::vector<bench::GpuCase> cases = bench::gpu_cases(gpu);
  check_any(!cases.empty(), arguments);
  const bench::GpuLimits limits = bench::gpu_limits(device);
  print_limits(session, device, limits);
  std::vector<std::vector<std::string>> table = {
      {"case", "recorded", "ms best", "ms median", "per second", "", "MiB", "of peak"}};
  std::vector<std::string> failures;
  for (const bench::GpuCase& one : cases) {
    const bench::GpuRow row = bench::time_gpu_case(gpu, one, limits);
    if (!row.error.empty()) failures.push_back(fmt::format("{}: {}", one.name, row.error));
    if (session.json) {
      print_json(to_value(row));
      std::fflush(stdout);  // what is known survives a time limit
    } else if (!row.error.empty()) {
      table.push_back({one.name, "failed"});
    } else {
      table.push_back({one.name, row.recorded ? "yes" : "no", fmt::format("{:.3f}", row.ms_least),
                       fmt::format("{:.3f}", row.ms_median), grouped(std::llround(row.per_second)), one.unit,
                       fmt::format("{:.0f}", row.mib), fmt::format("{:.1f} %", 100 * row.share_of_peak)});
    }
    if (!session.quiet) fmt::print(stderr, "{}\n", one.name);
  }
  if (!session.json) print_table(table);
  for (const std::string& failure : failures) fmt::print(stderr, "lathe: error: {}\n", failure);
  return failures.empty() ? kOk : kBug;
}

/// An option that this benchmark does not take would change nothing: refused.
void refuse_unused(const Session& session, const BenchArguments& arguments) {
  const auto refuse = [&](bool given, const char* option, std::initializer_list<std::string_view> takers) {
    LATHE_CHECK(ConfigError, !given || std::ranges::find(takers, arguments.what) != takers.end(), "bench ",
                arguments.what, " takes no ", option, ": ", fmt::format("{}", fmt::join(takers, ", ")),
                takers.size() == 1 ? " does" : " do");
  };
  refuse(!arguments.filter.empty(), "filter", {"quant", "conv", "gemm", "decode", "gpu"});
  refuse(!arguments.models.empty(), "--model", {"step", "quant", "gpu"});
  refuse(!arguments.quants.empty(), "--quant", {"step"});
  refuse(!arguments.file.empty(), "--file", {"decode"});
  refuse(arguments.batch.has_value(), "--batch", {"step", "quant", "gpu"});
  refuse(arguments.steps.has_value(), "--steps", {"step", "quant", "gpu"});
  refuse(session.device != "auto", "--device", {"gpu"});
}

int bench(const Session& session, const BenchArguments& arguments) {
  refuse_unused(session, arguments);
  const MathModeScope math({.winograd = !arguments.no_winograd});
  if (arguments.what == "gpu") return bench_gpu(session, arguments);
  if (arguments.what == "conv") return bench_conv(session, arguments);
  if (arguments.what == "gemm") return bench_gemm(session, arguments);
  if (arguments.what == "decode") return bench_decode(session, arguments);
  if (arguments.what == "quant") return bench_quant(session, arguments);
  if (arguments.what == "limits") return bench_limits(session, arguments);
  return bench_step(session, step_options(arguments));
}

}  // namespace

void add_bench(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand(
      "bench", "Benchmark cases: medians of several runs, as a share of the machine's limit");
  command->footer(
      "gpu times recorded training steps on a CUDA device; exit code 1 when one of the cases failed. Words "
      "of its "
      "filter pick from every model, batch, precision (f32, tf32, bf16) and quantizer (none, lsq, diffq, "
      "codeq), and 'eager'; without one the usual cases run.\n"
      "Examples:\n  lathe bench step                           every case with every quantizer\n"
      "  lathe bench step --model resnet20,gpt --quant none,diffq --threads 2 --json\n"
      "  lathe bench conv 'r20'\n"
      "  lathe bench gemm --json\n  lathe bench decode --threads 1\n"
      "  lathe bench decode --file runs/glyphs/model.lathe\n"
      "  lathe bench quant --batch 8 --steps 100 --threads 1\n  lathe bench limits\n"
      "  lathe bench gpu --filter 'resnet20 b128 bf16' --device cuda:0 --json\n"
      "  lathe bench gpu --model wrn28_10 --batch 128 --filter 'bf16 none'");
  auto arguments = std::make_shared<BenchArguments>();
  command->add_option("NAME", arguments->what, "step, quant, conv, gemm, decode, limits or gpu")
      ->check(CLI::IsMember({"step", "quant", "conv", "gemm", "decode", "limits", "gpu"}));
  command->add_option(
      "FILTER,--filter", arguments->filter,
      "Only cases whose name contains this (quant, conv, gemm, decode), or all its words (gpu)");
  command
      ->add_option(
          "--model", arguments->models,
          "Model of `step`, `quant` and `gpu`; for `step` a list: resnet20, resnet18, mobilenet, vit, "
          "gpt, demucs as the peer's script has them, or any model")
      ->delimiter(',');
  command
      ->add_option(
          "--quant", arguments->quants,
          "Quantizers of `step`, a list: none, diffq, codeq, lsq, qat. Every one without --model and "
          "--quant, else none")
      ->delimiter(',');
  command->add_option("--file", arguments->file, "Packed file that `decode` turns into weights");
  command->add_flag("--no-winograd", arguments->no_winograd, "Direct convolutions only (step, conv, quant)");
  command->add_option("--batch", arguments->batch, "Batch size of `step`, `quant` and `gpu`")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--steps", arguments->steps,
                   "Timed steps of `step`, rounds of `quant`, steps of a round of `gpu`")
      ->check(CLI::PositiveNumber);
  command->add_option("--seconds", arguments->seconds, "Time per case (conv, gemm, decode)")
      ->check(CLI::PositiveNumber);
  add_device_option(*command, session);
  add_common_options(*command, session);
  command->callback([&session, arguments] {
    session.command = [&session, arguments] { return bench(session, *arguments); };
  });
}

}  // namespace lathe::cli
