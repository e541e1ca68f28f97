#include "tools/commands/run_text.h"

#include <cstdio>

#include <fmt/format.h>

#include "tools/exit_code.h"
#include "tools/output.h"

namespace lathe::cli {
namespace {

void say_what_is_lost(const Session& session, const TextContinuer::Prompt& prompt) {
  if (session.quiet) return;
  if (prompt.unknown > 0)
    fmt::print(stderr, "{} words of the prompt are unknown to the model\n", prompt.unknown);
  if (prompt.unseen > 0)
    fmt::print(stderr, "the first {} tokens of the prompt are beyond the model's context\n", prompt.unseen);
}

}  // namespace

int run_text(const Session& session, SavedRun model, const std::vector<std::string>& prompts,
             const ContinueOptions& options) {
  TextContinuer continuer(std::move(model), available_device(session.device));
  for (const std::string& text : prompts) {
    const TextContinuer::Prompt prompt = continuer.read(text);
    say_what_is_lost(session, prompt);
    std::string continuation;
    if (!session.json) fmt::print("{}", text);
    continuer.run(prompt, options, [&](const std::string& piece) {
      if (session.json) {
        continuation += piece;
        return;
      }
      fmt::print("{}", piece);
      std::fflush(stdout);
    });
    if (session.json) {
      print_json(
          Value::object({{"input", Value::string(text)}, {"continuation", Value::string(continuation)}}));
    } else {
      fmt::print("\n");
    }
  }
  return kOk;
}

}  // namespace lathe::cli
