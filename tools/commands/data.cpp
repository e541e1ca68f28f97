#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/error.h"
#include "core/json.h"
#include "data/inspect.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "train/config/experiment.h"

namespace lathe::cli {
namespace {

struct DataArguments {
  std::string what;  // an experiment file or a data set's name
  std::vector<std::string> sets;
  std::string root;
  std::string out;
  int64_t pictures = 0;
  bool overwrite = false;
};

// The "data" section of an experiment file, or one made of a name and --root.
DataSection section_of(const DataArguments& arguments) {
  DataSection section = arguments.what.ends_with(".json")
                            ? load_data_section(arguments.what, arguments.sets)
                            : named_data_section(arguments.what, arguments.sets);
  if (!arguments.root.empty()) section.data.set("root", Value::string(arguments.root));
  return section;
}

int describe(const Session& session, const DataArguments& arguments) {
  const DataSection section = section_of(arguments);
  const Value description = describe_data(section.data, section.where);
  if (session.json) {
    print_json(description);
  } else {
    fmt::print("{}\n", to_json(description, 2));
  }
  return kOk;
}

int check(const Session& session, const DataArguments& arguments) {
  const DataSection section = section_of(arguments);
  const DataReport report = check_data(section.data, section.where);
  const auto list = [](const std::vector<DataFinding>& findings) {
    Value out = Value::array();
    for (const DataFinding& finding : findings) {
      out.push_back(Value::object(
          {{"split", Value::string(finding.split)}, {"problem", Value::string(finding.problem)}}));
    }
    return out;
  };
  if (session.json) {
    print_json(Value::object({{"errors", list(report.errors)}, {"warnings", list(report.warnings)}}));
  } else {
    for (const DataFinding& finding : report.warnings) {
      fmt::print("warning: {}{}\n", finding.split.empty() ? "" : finding.split + ": ", finding.problem);
    }
    for (const DataFinding& finding : report.errors)
      fmt::print("error: {}: {}\n", finding.split, finding.problem);
    if (report.errors.empty()) fmt::print("ok, {} warnings\n", report.warnings.size());
  }
  if (report.errors.empty()) return kOk;
  const DataFinding& first = report.errors.front();
  LATHE_THROW(DataError, "data check: ", report.errors.size(),
              report.errors.size() == 1 ? " problem: " : " problems, the first: ", first.split, ": ",
              first.problem);
}

const char* about(ExportKind kind) {
  switch (kind) {
    case ExportKind::Images:
      return "in CIFAR-10's binary format, with preview.png";
    case ExportKind::Texts:
      return "with train.txt and test.txt";
    case ExportKind::Sounds:
      break;
  }
  return "in MUSDB18's layout";
}

int generate(const Session& session, const DataArguments& arguments) {
  const DataSection section = section_of(arguments);
  const ExportKind kind = export_data(section.data, section.where, arguments.out,
                                      {.pictures = arguments.pictures, .overwrite = arguments.overwrite});
  if (session.json) {
    print_json(Value::object({{"out", Value::string(arguments.out)}}));
  } else {
    fmt::print("wrote {} {}\n", arguments.out, about(kind));
  }
  return kOk;
}

using Action = int (*)(const Session&, const DataArguments&);

void add_action(CLI::App& parent, Session& session, const char* name, const char* help, const char* examples,
                Action action) {
  CLI::App* command = parent.add_subcommand(name, help);
  command->footer(examples);
  auto arguments = std::make_shared<DataArguments>();
  command
      ->add_option("WHAT", arguments->what,
                   "Experiment file (.json) or name of a data set (see lathe list data)")
      ->required();
  command->add_option("--root", arguments->root, "Folder with the data set's files");
  command
      ->add_option("--set", arguments->sets,
                   "Change a value, of the file or of a data set's options: data.seed=7; may be repeated")
      ->allow_extra_args(false);
  if (action == &generate) {
    command->add_option("--out", arguments->out, "Folder to write")->required();
    command->add_option("--pictures", arguments->pictures, "Write so many test images as PNG files too")
        ->check(CLI::Range(int64_t{0}, int64_t{100000}));
    command->add_flag("--overwrite", arguments->overwrite, "Replaces files that are there already");
  }
  add_common_options(*command, session);
  command->callback([&session, arguments, action] {
    session.command = [&session, arguments, action] { return action(session, *arguments); };
  });
}

}  // namespace

void add_data(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("data", "Validates, describes and generates data sets");
  command->require_subcommand(1);
  command->footer(
      "Examples:\n  lathe data describe glyphs\n  lathe data check cifar10 --root data/cifar10\n"
      "  lathe data generate glyphs --out /tmp/glyphs");
  add_action(*command, session, "describe", "Sizes, classes, channel statistics and content hash",
             "Examples:\n  lathe data describe train/experiments/glyphs.json --set data.seed=7", &describe);
  add_action(*command, session, "check",
             "Reads every file with every check; exit code 3 when a split cannot be used",
             "Examples:\n  lathe data check cifar10 --root data/cifar10\n"
             "  lathe data check train/experiments/demucs-musdb.json --root DIR    with its options, such as "
             "\"samples\"",
             &check);
  add_action(*command, session, "generate",
             "Writes a data set's images in CIFAR-10's binary format, its texts, or its music as WAV files",
             "Examples:\n  lathe data generate glyphs --out /tmp/glyphs --pictures 10\n"
             "  lathe data generate prose --out /tmp/prose\n"
             "  lathe data generate tones --out /tmp/tones",
             &generate);
}

}  // namespace lathe::cli
