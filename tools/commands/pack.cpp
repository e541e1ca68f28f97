// pack, unpack, verify: packed models, which hold what was evaluated.

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "quant/attach.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "train/config/experiment.h"
#include "train/evaluate.h"
#include "train/packing.h"
#include "train/run_folder.h"
#include "train/saved_run.h"
#include "train/weights.h"

namespace lathe::cli {
namespace {

struct PackArguments {
  std::string from, out, quant;
};

/// The run's model as it was evaluated; with a file of a "quant" section, its weights under those quantizers.
struct Chosen {
  PackedHeader header;
  std::unique_ptr<Model> model;
};

Chosen choose(const SavedRun& run, const std::string& quant, Device device = Device::cpu()) {
  Chosen chosen{header_of(run), nullptr};
  if (quant.empty()) {
    chosen.model = load_run_model(run, device);
    return chosen;
  }
  const Value section = parse_json(read_text(quant), quant, {.comments = true});
  chosen.model = quantize_run(run, section, {quant, ""}, device);
  chosen.header.quant = resolve_quant(section, {quant, ""});
  return chosen;
}

int pack(const Session& session, const PackArguments& arguments) {
  const SavedRun run = open_run(arguments.from);
  LATHE_CHECK(ConfigError, run.packed.empty(), arguments.from,
              ": this is a packed file; expected a run's folder");
  const Chosen chosen = choose(run, arguments.quant);
  write_packed(arguments.out, pack_model(to_value(chosen.header), *chosen.model));
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(arguments.out));
  if (session.json) {
    print_json(Value::object({{"out", Value::string(arguments.out)}, {"size_bytes", Value::integer(bytes)}}));
  } else {
    fmt::print("wrote {}, {} bytes\n", arguments.out, grouped(bytes));
  }
  return kOk;
}

int unpack(const Session& session, const PackArguments& arguments) {
  const SavedRun run = open_run(arguments.from);
  LATHE_CHECK(ConfigError, !run.packed.empty(), arguments.from,
              ": this is a run's folder; expected a packed file");
  export_weights(*load_run_model(run), arguments.out);
  if (session.json) {
    print_json(Value::object({{"out", Value::string(arguments.out)}}));
  } else {
    fmt::print("wrote {}\n", arguments.out);
  }
  return kOk;
}

struct VerifyArguments {
  std::string run, against, data, quant;
  std::vector<std::string> sets;
};

EvaluationResult evaluate_all(const SavedRun& run, Model& model, const DataSection& data,
                              const Dataset& split) {
  const DataCommon common = read_data_common(data_registry().resolve(data.data, data.where), data.where);
  const MathModeScope math(run.math);
  return evaluate(model, *run_task(run, split.info()), split, common.eval_batch.value_or(common.batch),
                  {.hash = true, .on_output = {}});
}

int verify(const Session& session, const VerifyArguments& arguments) {
  const SavedRun run = open_run(arguments.run);
  LATHE_CHECK(ConfigError, run.packed.empty(), arguments.run,
              ": this is a packed file; expected a run's folder");
  const std::filesystem::path file =
      arguments.against.empty() ? RunPaths{run.folder}.packed() : std::filesystem::path(arguments.against);
  const SavedRun other = open_run(file);
  const DataSection data = arguments.data.empty() ? DataSection{run.data, run.where / "data"}
                                                  : load_data_section(arguments.data, arguments.sets);
  LATHE_CHECK(ConfigError, !data.data.is(Value::Type::Null), arguments.run,
              ": the run says nothing of its data; give --data");
  const auto split = evaluation_split(data.data, data.where, "test", static_cast<uint64_t>(run.seed));
  const Device device = available_device(session.device);
  const std::unique_ptr<Model> trained = choose(run, arguments.quant, device).model,
                               stored = load_run_model(other, device);
  const std::vector<std::string> differing = differing_values(*trained, *stored);
  LATHE_CHECK(MismatchError, differing.empty(), file.string(), ": ", differing.size(),
              " tensors differ from the run's, the first is ", differing.front());
  const EvaluationResult ours = evaluate_all(run, *trained, data, *split);
  const EvaluationResult theirs = evaluate_all(other, *stored, data, *split);
  LATHE_CHECK(MismatchError, ours.logits_hash == theirs.logits_hash, file.string(), ": logits over ",
              ours.samples, " samples differ: ", theirs.logits_hash, ", the run's are ", ours.logits_hash);
  if (session.json) {
    print_json(Value::object({{"identical", Value::boolean(true)},
                              {"samples", Value::integer(ours.samples)},
                              {"logits_hash", Value::string(ours.logits_hash)}}));
  } else {
    fmt::print("identical: every weight and the logits of {} samples ({})\n", grouped(ours.samples),
               ours.logits_hash);
  }
  return kOk;
}

struct FileCommand {
  const char *name, *what, *from, *examples;
  int (*run)(const Session&, const PackArguments&);
  bool quantizes;
};

void add_file_command(CLI::App& app, Session& session, const FileCommand& file_command) {
  CLI::App* command = app.add_subcommand(file_command.name, file_command.what);
  command->footer(std::string("Examples:\n") + file_command.examples);
  auto arguments = std::make_shared<PackArguments>();
  command->add_option("FROM", arguments->from, file_command.from)->required();
  command->add_option("-o,--out", arguments->out, "File to write")->required();
  if (file_command.quantizes) {
    command->add_option("--quant", arguments->quant,
                        "File of a \"quant\" section: quantize the run's weights by it, without training");
  }
  add_common_options(*command, session);
  command->callback([&session, arguments, run = file_command.run] {
    session.command = [&session, arguments, run] { return run(session, *arguments); };
  });
}

}  // namespace

void add_pack(CLI::App& app, Session& session) {
  add_file_command(app, session,
                   {.name = "pack",
                    .what = "A run's model as a packed file: what was evaluated, in few bytes",
                    .from = "Folder of a run",
                    .examples = "  lathe pack runs/glyphs -o glyphs.lathe\n"
                                "  lathe pack runs/glyphs -o glyphs-8.lathe --quant minmax8.json\n"
                                "where minmax8.json holds {\"rules\": [{\"type\": \"minmax\", \"bits\": 8}]}",
                    .run = pack,
                    .quantizes = true});
  add_file_command(app, session,
                   {.name = "unpack",
                    .what = "A packed file's weights, decoded, under PyTorch names and layouts",
                    .from = "Packed file",
                    .examples = "  lathe unpack glyphs.lathe -o glyphs.safetensors",
                    .run = unpack,
                    .quantizes = false});
  CLI::App* command = app.add_subcommand(
      "verify", "Proves that a packed file evaluates as its run: same weights, same logits, bit for bit");
  command->footer(
      "Exit code 7 when a single bit differs.\nExamples:\n  lathe verify runs/glyphs\n"
      "  lathe verify runs/glyphs --against glyphs.lathe");
  auto arguments = std::make_shared<VerifyArguments>();
  command->add_option("RUN", arguments->run, "Folder of a run")->required();
  command->add_option("--against", arguments->against, "Packed file; RUN/model.lathe without it");
  command->add_option("--quant", arguments->quant,
                      "The \"quant\" section that `lathe pack --quant` made the file with");
  command->add_option("--data", arguments->data, "Experiment file of which only \"data\" is read");
  command->add_option("--set", arguments->sets, "Change a value of that file: data.root=DIR")
      ->allow_extra_args(false);
  add_device_option(*command, session);
  add_common_options(*command, session);
  command->callback([&session, arguments] {
    session.command = [&session, arguments] { return verify(session, *arguments); };
  });
}

}  // namespace lathe::cli
