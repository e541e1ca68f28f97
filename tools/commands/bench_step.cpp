#include "tools/commands/bench_step.h"

#include <cstdio>

#include <fmt/format.h>

#include "core/cpu/isa.h"
#include "core/math_mode.h"
#include "core/parallel.h"
#include "tools/bench/harness.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "train/version.h"

namespace lathe::cli {
namespace {

/// Keys are those of the peer's script where it has them.
Value to_value(const bench::StepCase& one, const bench::StepRow& row) {
  Value value =
      Value::object({{"bench", Value::string("train_step")},
                     {"peer", Value::string(fmt::format("lathe{}", version()))},
                     {"model", Value::string(one.model)},
                     {"quant", Value::string(row.quant)},
                     {"threads", Value::integer(num_threads())},
                     {"isa", Value::string(std::string(to_string(cpu::active_isa())))},
                     {"winograd", Value::boolean(math_mode().winograd)},
                     {"batch", Value::integer(one.training.batch)},
                     {"clock", Value::string(bench::clock_name())},
                     {"params", Value::integer(row.parameters)},
                     {"ms_best", Value::real(row.ms_best)},
                     {"ms_median", Value::real(row.ms_median)},
                     {"samples_per_s_best", Value::real(row.samples_per_second_best)},
                     {"samples_per_s_median", Value::real(row.samples_per_second)},
                     {"share_of_peak", Value::real(row.share_of_peak)},
                     {"peak_tensor_mib", Value::real(row.tensor_mib)},
                     {"system_allocations", Value::integer(static_cast<int64_t>(row.system_allocations))},
                     {"loss", Value::real(row.loss)}});
  if (one.peer_parameters > 0) value.set("peer_params", Value::integer(one.peer_parameters));
  if (row.ratio > 0 && row.quant != "none")
    value.set("ratio_vs_none_median_of_pairs", Value::real(row.ratio));
  if (row.peak_rss_mib > 0) {
    value.set("peak_rss_mib", Value::real(row.peak_rss_mib));
    value.set("start_to_first_step_s", Value::real(row.first_step_seconds));
  }
  return value;
}

std::string parameters_of(const bench::StepCase& one, const bench::StepRow& row) {
  if (one.peer_parameters == 0 || one.peer_parameters == row.parameters) return grouped(row.parameters);
  return fmt::format("{} (the peer has {})", grouped(row.parameters), grouped(one.peer_parameters));
}

std::vector<std::string> cells(const bench::StepCase& one, const bench::StepRow& row) {
  return {fmt::format("{} b{}", one.model, one.training.batch),
          row.quant,
          fmt::format("{:.1f}", row.ms_best),
          fmt::format("{:.1f}", row.ms_median),
          fmt::format("{:.0f}", row.samples_per_second),
          row.ratio > 0 ? fmt::format("{:.3f}", row.ratio) : "-",
          fmt::format("{:.0f} %", 100 * row.share_of_peak),
          fmt::format("{:.0f}", row.tensor_mib),
          parameters_of(one, row)};
}

}  // namespace

int bench_step(const Session& session, const bench::StepOptions& options) {
  const std::vector<bench::StepCase> cases = bench::step_cases(options);
  std::vector<std::vector<std::string>> table = {{"case", "quant", "ms best", "ms median", "samples/s",
                                                  "of float", "of peak", "tensors MiB", "parameters"}};
  std::string alone;
  for (const bench::StepCase& one : cases) {
    for (const bench::StepRow& row : bench::time_step_case(one, options, cases.size() == 1)) {
      if (session.json) {
        print_json(to_value(one, row));
        std::fflush(stdout);  // what is known survives a time limit
      }
      table.push_back(cells(one, row));
      if (row.peak_rss_mib > 0) {
        alone = fmt::format("peak memory {:.0f} MiB, first step finished {:.2f} s after the start\n",
                            row.peak_rss_mib, row.first_step_seconds);
      }
    }
    if (!session.quiet && cases.size() > 1) fmt::print(stderr, "{} b{}\n", one.model, one.training.batch);
  }
  if (session.json) return kOk;
  fmt::print("{} threads, {}\n", num_threads(), to_string(cpu::active_isa()));
  print_table(table);
  fmt::print("{}", alone);
  return kOk;
}

}  // namespace lathe::cli
