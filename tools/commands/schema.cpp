#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/json.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "train/config/experiment.h"

namespace lathe::cli {

void add_schema(CLI::App& app, Session& session) {
  CLI::App* command =
      app.add_subcommand("schema", "JSON Schema of experiment files, from the tables that parse them");
  command->footer("Examples:\n  lathe schema > experiment.schema.json");
  add_common_options(*command, session);
  command->callback([&session] {
    session.command = [] {
      fmt::print("{}\n", to_json(experiment_schema(), 2));
      return kOk;
    };
  });
}

}  // namespace lathe::cli
