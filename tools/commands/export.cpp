#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/error.h"
#include "quant/activation.h"
#include "quant/pack/packed_model.h"
#include "quant/quantizer.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "train/saved_run.h"
#include "train/weights.h"

namespace lathe::cli {
namespace {

struct ExportArguments {
  std::string run;
  std::string format = "safetensors";
  std::string out;
};

[[noreturn]] void refuse(const SavedRun& run, const char* quantized, const char* lost) {
  const bool folder = run.packed.empty();
  LATHE_THROW(MismatchError, (folder ? run.folder : run.packed).string(), ": its ", quantized,
              " are quantized, and safetensors would lose the ", lost, "; ",
              folder ? "`lathe pack`" : "this file",
              " keeps them, `lathe unpack` writes the weights decoded");
}

bool holds_codes(const std::filesystem::path& packed) {
  const std::vector<PackedTensorLayout> tensors = layout_packed(packed).tensors;
  return std::any_of(tensors.begin(), tensors.end(),
                     [](const PackedTensorLayout& tensor) { return tensor.codec != "tensor"; });
}

int export_run(const Session& session, const ExportArguments& arguments) {
  const SavedRun run = open_run(arguments.run);
  const std::unique_ptr<Model> model = load_run_model(run);
  const bool codes = run.packed.empty() ? !quantizers_of(*model).empty() : holds_codes(run.packed);
  if (codes) refuse(run, "weights", "codes");
  if (!activation_quantizers_of(*model).empty()) refuse(run, "activations", "grids");
  export_weights(*model, arguments.out);
  if (session.json) {
    print_json(Value::object({{"out", Value::string(arguments.out)}}));
  } else {
    fmt::print("wrote {}\n", arguments.out);
  }
  return kOk;
}

}  // namespace

void add_export(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("export", "A run's weights under PyTorch names and layouts");
  command->footer("Examples:\n  lathe export runs/r20 --format safetensors -o r20.safetensors");
  auto arguments = std::make_shared<ExportArguments>();
  command->add_option("RUN", arguments->run, "Folder of a run, or a packed file")->required();
  command->add_option("--format", arguments->format, "safetensors")->check(CLI::IsMember({"safetensors"}));
  command->add_option("-o,--out", arguments->out, "File to write")->required();
  add_common_options(*command, session);
  command->callback([&session, arguments] {
    session.command = [&session, arguments] { return export_run(session, *arguments); };
  });
}

}  // namespace lathe::cli
