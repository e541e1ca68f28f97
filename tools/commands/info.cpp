#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/error.h"
#include "models/registry.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/plan.h"
#include "train/saved_run.h"

namespace lathe::cli {
namespace {

struct InfoArguments {
  std::string run;
  std::string model;
};

ModelInfo info_of(const InfoArguments& arguments) {
  if (!arguments.model.empty()) {
    const Value section = Value::object({{"type", Value::string(arguments.model)}});
    return describe_model(section, {"", "model"}, model_input_shape(arguments.model));
  }
  LATHE_CHECK(ConfigError, !arguments.run.empty(), "info: expected a run's folder or --model NAME");
  const SavedRun run = open_run(arguments.run);
  const std::string type = run.model.find("type")->as_string();
  if (run.data.is(Value::Type::Null))
    return describe_model(run.model, run.where / "model", model_input_shape(type));
  const auto split = evaluation_split(run.data, run.where / "data", "test", static_cast<uint64_t>(run.seed));
  return describe_model(run.model, run.where / "model", split->info().sample);
}

int info(const Session& session, const InfoArguments& arguments) {
  const ModelInfo model = info_of(arguments);
  if (session.json) {
    print_json(to_value(model));
  } else {
    print_model(model);
  }
  return kOk;
}

}  // namespace

void add_info(CLI::App& app, Session& session) {
  CLI::App* command =
      app.add_subcommand("info", "Parameters, sizes and multiply-accumulates, layer by layer");
  command->footer("Examples:\n  lathe info runs/glyphs\n  lathe info --model resnet20 --json");
  auto arguments = std::make_shared<InfoArguments>();
  command->add_option("RUN", arguments->run, "Folder of a run, or a packed file");
  command->add_option("--model", arguments->model, "A model by name, with its default options");
  add_common_options(*command, session);
  command->callback([&session, arguments] {
    session.command = [&session, arguments] { return info(session, *arguments); };
  });
}

}  // namespace lathe::cli
