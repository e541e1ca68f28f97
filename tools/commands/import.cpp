#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/error.h"
#include "models/registry.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "train/config/experiment.h"
#include "train/config/overrides.h"
#include "train/model_state.h"
#include "train/saved_run.h"
#include "train/weights.h"

namespace lathe::cli {
namespace {

struct ImportArguments {
  std::string file;
  std::string model;
  std::string data;
  std::string out;
  std::vector<std::string> sets;
};

int import(const Session& session, const ImportArguments& arguments) {
  // --set model.KEY=VALUE is an option of the model, everything else changes the data file.
  Value root = Value::object({{"model", Value::object({{"type", Value::string(arguments.model)}})}});
  std::vector<std::string> data_sets;
  for (const std::string& set : arguments.sets) {
    if (set.starts_with("model.")) {
      apply_override(root, set, root);
    } else {
      data_sets.push_back(set);
    }
  }
  const Value& section = *root.find("model");
  Value data;
  if (!arguments.data.empty()) data = load_data_section(arguments.data, data_sets).data;
  const FieldPath where{"", "model"};
  const std::unique_ptr<Model> model = model_registry().build(section, where, RootOptions{});
  import_weights(*model, arguments.file);
  write_imported_run(arguments.out, model_registry().resolve(section, where), data, *model);
  const int64_t parameters = parameter_count(*model);
  if (session.json) {
    print_json(
        Value::object({{"run", Value::string(arguments.out)}, {"parameters", Value::integer(parameters)}}));
  } else {
    fmt::print("imported {} parameters into {}\n", grouped(parameters), arguments.out);
  }
  return kOk;
}

}  // namespace

void add_import(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("import", "Published weights under their PyTorch names, as a run");
  command->footer(
      "Examples:\n  lathe import resnet20.safetensors --model resnet20 --data "
      "train/experiments/resnet20-cifar10.json "
      "-o runs/r20\n  lathe import deit.safetensors --model deit_tiny --set model.distilled=true -o "
      "runs/deit\n"
      "  lathe eval runs/r20 --data EXP.json --set data.root=data/cifar10");
  auto arguments = std::make_shared<ImportArguments>();
  command->add_option("FILE", arguments->file, "safetensors file with PyTorch names and layouts")->required();
  command->add_option("--model", arguments->model, "The model's name (lathe list models)")->required();
  command->add_option("--data", arguments->data,
                      "Experiment file whose \"data\" says what the weights expect");
  command
      ->add_option(
          "--set", arguments->sets,
          "Change a value of that file, data.root=DIR, or set an option of the model, model.classes=10")
      ->allow_extra_args(false);
  command->add_option("-o,--out", arguments->out, "Folder of the new run")->required();
  add_common_options(*command, session);
  command->callback([&session, arguments] {
    session.command = [&session, arguments] { return import(session, *arguments); };
  });
}

}  // namespace lathe::cli
