#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "train/classify.h"

namespace lathe::cli {
namespace {

struct RunArguments {
  std::string model;
  std::vector<std::string> inputs;
  int64_t top = 5;
};

Value to_value(const std::string& input, const std::vector<Guess>& guesses) {
  Value list = Value::array();
  for (const Guess& guess : guesses) {
    list.push_back(Value::object({{"class", Value::integer(guess.index)},
                                  {"name", Value::string(guess.name)},
                                  {"probability", Value::real(guess.probability)}}));
  }
  return Value::object({{"input", Value::string(input)}, {"guesses", std::move(list)}});
}

int run(const Session& session, const RunArguments& arguments) {
  Classifier classifier(arguments.model, available_device(session.device));
  for (const std::string& input : arguments.inputs) {
    const std::vector<Guess> guesses = classifier.classify(std::filesystem::path(input), arguments.top);
    if (session.json) {
      print_json(to_value(input, guesses));
      continue;
    }
    fmt::print("{}\n", input);
    for (const Guess& guess : guesses) fmt::print("  {:6.2f} %  {}\n", 100 * guess.probability, guess.name);
  }
  return kOk;
}

}  // namespace

void add_run(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("run", "Classifies pictures with a packed file, and nothing else");
  command->footer(
      "Pictures are PNG or JPEG; another size than the model's is scaled and cut as in evaluation.\n"
      "With --json a line for each picture.\n"
      "Examples:\n  lathe run glyphs.lathe digit.png\n  lathe run cifar.lathe photos/*.jpg --top 1 --json");
  auto arguments = std::make_shared<RunArguments>();
  command->add_option("MODEL", arguments->model, "Packed file, or folder of a run")->required();
  command->add_option("INPUT", arguments->inputs, "Pictures")->required();
  command->add_option("--top", arguments->top, "Classes to print, the most probable first")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  add_common_options(*command, session);
  command->callback([&session, arguments] {
    session.command = [&session, arguments] { return run(session, *arguments); };
  });
}

}  // namespace lathe::cli
