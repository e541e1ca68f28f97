#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/commands.h"
#include "tools/commands/run_sound.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "train/classify.h"
#include "train/separator.h"

namespace lathe::cli {
namespace {

struct RunArguments {
  std::string model;
  std::vector<std::string> inputs;
  int64_t top = 5;
  SoundRunArguments sound;
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
  if (separates_sound(open_run(arguments.model)))
    return run_sound(session, arguments.model, arguments.inputs, arguments.sound);
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
  CLI::App* command = app.add_subcommand(
      "run", "Classifies pictures, or separates music, with a packed file and nothing else");
  command->footer(
      "Pictures are PNG or JPEG; another size than the model's is scaled to cover it and cut to its centre.\n"
      "Music is WAV or FLAC; another sample rate is converted to the model's, in which the stems are "
      "written.\n"
      "With --json a line for each input.\n"
      "Examples:\n  lathe run glyphs.lathe digit.png\n  lathe run cifar.lathe photos/*.jpg --top 1 --json\n"
      "  lathe run demucs.lathe song.wav -o stems");
  auto arguments = std::make_shared<RunArguments>();
  command->add_option("MODEL", arguments->model, "Packed file, or folder of a run")->required();
  command->add_option("INPUT", arguments->inputs, "Pictures or songs")->required();
  command->add_option("--top", arguments->top, "Classes to print, the most probable first")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  add_sound_options(*command, arguments->sound);
  add_common_options(*command, session);
  command->callback([&session, arguments] {
    session.command = [&session, arguments] { return run(session, *arguments); };
  });
}

}  // namespace lathe::cli
