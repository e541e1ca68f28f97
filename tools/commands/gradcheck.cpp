#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "autograd/gradcheck_ops.h"
#include "core/error.h"
#include "quant/cases.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/output.h"

namespace lathe::cli {
namespace {

void print_rows(const std::vector<GradcheckRow>& rows) {
  std::vector<std::vector<std::string>> table = {{"case", "worst", "allowed", "probes", ""}};
  for (const GradcheckRow& row : rows) {
    table.push_back({row.name, fmt::format("{:.2e}", row.worst), fmt::format("{:.0e}", row.tolerance),
                     std::to_string(row.probes), row.passed ? "ok" : "FAILED " + row.message});
  }
  print_table(table);
}

Value to_value(const GradcheckRow& row) {
  return Value::object({{"case", Value::string(row.name)},
                        {"worst", Value::real(row.worst)},
                        {"tolerance", Value::real(row.tolerance)},
                        {"probes", Value::integer(row.probes)},
                        {"passed", Value::boolean(row.passed)},
                        {"message", Value::string(row.message)}});
}

int gradcheck_command(const Session& session, const std::string& filter) {
  std::vector<GradcheckRow> rows = gradcheck_ops(filter);
  for (GradcheckRow& row : gradcheck_quant(filter)) rows.push_back(std::move(row));
  LATHE_CHECK(ConfigError, !rows.empty(), "gradcheck: no case's name contains '", filter, "'");
  const auto failed =
      std::count_if(rows.begin(), rows.end(), [](const GradcheckRow& row) { return !row.passed; });
  if (session.json) {
    Value list = Value::array();
    for (const GradcheckRow& row : rows) list.push_back(to_value(row));
    print_json(Value::object({{"cases", std::move(list)}, {"failed", Value::integer(failed)}}));
  } else {
    print_rows(rows);
    fmt::print("{} cases, {} failed\n", rows.size(), failed);
  }
  return failed == 0 ? kOk : kBug;
}

}  // namespace

void add_gradcheck(CLI::App& app, Session& session) {
  CLI::App* command =
      app.add_subcommand("gradcheck", "Every op's derivative against numeric differences, in float64");
  command->footer(
      "Prints the worst relative error |a - n| / max(1, |a|, |n|) of each case; exit code 1 when one is over "
      "its limit.\n"
      "Examples:\n  lathe gradcheck\n  lathe gradcheck conv2d --json\n  lathe gradcheck quant");
  auto filter = std::make_shared<std::string>();
  command->add_option("FILTER", *filter, "Only cases whose name contains this");
  add_common_options(*command, session);
  command->callback([&session, filter] {
    session.command = [&session, filter] { return gradcheck_command(session, *filter); };
  });
}

}  // namespace lathe::cli
