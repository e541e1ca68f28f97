#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/commands.h"
#include "tools/commands/run_sound.h"
#include "tools/commands/run_text.h"
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
  ContinueOptions text;
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
  SavedRun saved = open_run(arguments.model);
  if (separates_sound(saved)) return run_sound(session, arguments.model, arguments.inputs, arguments.sound);
  if (TextContinuer::continues(saved)) {
    ContinueOptions text = arguments.text;
    if (session.seed) text.seed = static_cast<uint64_t>(*session.seed);
    return run_text(session, std::move(saved), arguments.inputs, text);
  }
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
  CLI::App* command =
      app.add_subcommand("run", "Applies a packed file, and nothing else, to pictures, texts or music");
  command->footer(
      "Pictures are PNG or JPEG; another size than the model's is scaled and cut as in evaluation.\n"
      "A language model goes on with each INPUT, token by token; the same seed draws the same text.\n"
      "Music is WAV or FLAC; another sample rate is converted to the model's, in which the stems are "
      "written.\n"
      "With --json a line for each input.\n"
      "Examples:\n  lathe run glyphs.lathe digit.png\n  lathe run cifar.lathe photos/*.jpg --top 1 --json\n"
      "  lathe run lm.lathe \"To be, or\" --tokens 300 --temperature 0.8 --top-k 20 --seed 3\n"
      "  lathe run demucs.lathe song.wav -o stems");
  auto arguments = std::make_shared<RunArguments>();
  command->add_option("MODEL", arguments->model, "Packed file, or folder of a run")->required();
  command->add_option("INPUT", arguments->inputs, "Pictures, texts to continue, or songs")->required();
  command->add_option("--top", arguments->top, "Classes to print, the most probable first")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  command->add_option("--tokens", arguments->text.tokens, "Tokens to add to a text")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30));
  command
      ->add_option("--temperature", arguments->text.temperature,
                   "Of the draws: below 1 more probable tokens, 0 always the most probable")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  command
      ->add_option("--top-k", arguments->text.top_k, "Draw among so many of the most probable; 0: among all")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30));
  add_sound_options(*command, arguments->sound);
  add_device_option(*command, session);
  add_seed_option(*command, session, "Of the draws of a text");
  add_common_options(*command, session);
  command->callback([&session, arguments] {
    session.command = [&session, arguments] { return run(session, *arguments); };
  });
}

}  // namespace lathe::cli
