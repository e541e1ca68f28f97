// Texts, vocabularies and language models.

#include "core/error.h"
#include "core/files.h"
#include "tests/tools/bad_inputs.h"
#include "tests/tools/cli.h"

namespace lathe::tests {
namespace {

const std::string kGpt =
    R"({"type": "gpt", "context": 8, "vocab": 4, "layers": 1, "heads": 1, "width": 4, "dropout": 0})";

// A small language model on text that stands in input.txt.
const std::string kLanguage = R"({
  "schema": 1, "name": "tiny", "seed": 4,
  "data": {"type": "text", "root": ".", "context": 8, "batch": 4},
  "model": {"type": "gpt", "context": 8, "vocab": 4, "layers": 1, "heads": 1, "width": 4, "dropout": 0},
  "optimizer": {"type": "adam", "lr": 0.01},
  "train": {"epochs": 1}
})";

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

// lm.json with `from` replaced by `to`, beside a text of four characters.
Prepare language(const std::string& from = {}, const std::string& to = {}) {
  return [=](const std::filesystem::path& folder) {
    std::string text = kLanguage;
    if (!from.empty()) text.replace(text.find(from), from.size(), to);
    write_atomic(folder / "lm.json", text);
    write_atomic(folder / "input.txt", repeated("aab\n abaa\n", 30));
  };
}

Prepare trained_language() {
  return [](const std::filesystem::path& folder) {
    language()(folder);
    const Finished done =
        run_lathe({.arguments = {"train", "lm.json", "--out", "run", "--quiet"}, .folder = folder});
    if (done.code != 0) throw std::runtime_error("cannot train: " + done.err);
  };
}

const std::vector<std::string> kPlan = {"train", "lm.json", "--dry-run"};

BadInput data(std::string name, const Prepare& spoil, std::vector<std::string> says,
              const std::string& to = {}) {
  const Prepare base = to.empty() ? language() : language(R"("root": ".")", to);
  return {std::move(name), all({base, spoil}), kPlan, 3, std::move(says)};
}

BadInput model(std::string name, const std::string& from, const std::string& to,
               std::vector<std::string> says) {
  return {std::move(name), language(from, to), kPlan, 2, std::move(says)};
}

std::vector<BadInput> data_rows() {
  const std::string words = R"("root": ".", "tokens": "words", "vocabulary": "words.txt")";
  return {
      data("text that is not UTF-8", file("input.txt", repeated("ab", 20) + "\n\xFF"),
           {"./input.txt: line 2, byte 41", "byte 255 is not UTF-8", "'bytes'"}),
      data("empty text", file("input.txt", ""), {"./input.txt: ", "empty"}),
      data("missing text", nothing(), {"./gone.txt: ", "no such file"}, R"("root": ".", "file": "gone.txt")"),
      data("missing test text", nothing(), {"./gone.txt: ", "no such file"},
           R"("root": ".", "test_file": "gone.txt")"),
      data("text shorter than a window", file("input.txt", "ab \nab"),
           {"text, train", "5 tokens", "window of 8"}),
      data("test text with another character", file("test.txt", "ab abx"),
           {"./test.txt: line 1, byte 5", "'x'", "vocabulary's 4"},
           R"("root": ".", "test_file": "test.txt")"),
      data("vocabulary with a word twice", file("words.txt", "aab 3\n<unk> 2\naab 1\n"),
           {"./words.txt: line 3", "'aab'", "line 1"}, words),
      data("vocabulary with an empty line", file("words.txt", "aab\n\nabaa\n"),
           {"./words.txt: line 2", "empty"}, words),
      data("empty vocabulary", file("words.txt", ""), {"./words.txt: ", "no words"}, words),
      data("missing vocabulary", nothing(), {"./words.txt: ", "no such file"}, words),
      data("word that a vocabulary without <unk> lacks", file("words.txt", "aab\nabab\n"),
           {"./input.txt: line 2", "'abaa'", "2", "the nearest is 'abab'"}, words),
      {"WikiText without its validation file",
       all({language(R"("text", "root": ".")", R"("wikitext", "root": ".", "evaluate": "valid")"),
            file("wiki.train.tokens", repeated(" a b c \n", 20))}),
       kPlan,
       3,
       {"wiki.valid.tokens: ", "no such file"}},
  };
}

std::vector<BadInput> model_rows() {
  return {
      model("vocabulary of another size", R"("vocab": 4)", R"("vocab": 5)",
            {"lm.json:4: model.vocab: ", "the model has 5 tokens", "text has 4"}),
      model("context longer than the model's", R"("root": ".", "context": 8)", R"("root": ".", "context": 9)",
            {"lm.json:4: model: ", "(9)", "a sequence of 9 tokens", "at most 8"}),
      model("image model on text", kGpt, R"({"type": "resnet20"})",
            {"model.type: ", "'text' is text", "'resnet20' is no language model"}),
      model("language model on images", R"({"type": "text", "root": ".", "context": 8, "batch": 4})",
            R"({"type": "glyphs", "train": 64, "test": 16})",
            {"model: ", "(32, 32, 3)", "expected token ids"}),
      model("loss that no language model has", R"("optimizer")", R"("loss": {"type": "mse"}, "optimizer")",
            {"expected cross_entropy"}),
      model("padding that is a token", kGpt,
            R"({"type": "transformer_lm", "context": 8, "vocab": 4, "cutoffs": [2], "width": 4, "heads": 1})",
            {"model.padding: ", "token 1", "' '", "expected -1"}),
      model("padding beyond the tokens", kGpt,
            R"({"type": "transformer_lm", "context": 8, "vocab": 4, "cutoffs": [2], "width": 4, "heads": 1,
               "padding": 9})",
            {"model.padding: ", "token 9", "the data has 4 tokens", "expected -1"}),
      model("a number of blocks", R"("root": ".")", R"("root": ".", "windows": "blocks", "samples": 5)",
            {"lm.json: data.samples: ", "found 5", "'blocks'", "expected null"}),
      model("cutoffs that do not rise", kGpt,
            R"({"type": "transformer_lm", "context": 8, "vocab": 4, "cutoffs": [3, 2], "padding": -1})",
            {"model: ", "cutoffs rise"}),
      model("nothing left to score", R"("root": ".")", R"("root": ".", "context_window": 8)",
            {"data.context_window: ", "found 8", "less than the context, 8"}),
      model("words without a vocabulary", R"("root": ".")", R"("root": ".", "tokens": "words")",
            {"data.vocabulary: ", "need a vocabulary file"}),
  };
}

}  // namespace

std::vector<BadInput> bad_texts() {
  std::vector<BadInput> rows = data_rows();
  for (BadInput& row : model_rows()) rows.push_back(std::move(row));
  rows.push_back({"prompt with a character that the model does not know",
                  trained_language(),
                  {"run", "run", "abc"},
                  3,
                  {"prompt: line 1, byte 2", "'c'", "vocabulary's 4"}});
  rows.push_back({"prompt that is not UTF-8",
                  trained_language(),
                  {"run", "run", "a\xFE"},
                  3,
                  {"prompt: ", "is not UTF-8"}});
  rows.push_back(
      {"eval on text of another vocabulary",
       all({trained_language(), file("other.txt", repeated("xxy\n xyxx\n", 30)),
            file("d.json", R"({"data": {"type": "text", "root": ".", "file": "other.txt", "context": 8}})")}),
       {"eval", "run", "--data", "d.json"},
       2,
       {"token 2 is 'a' in the model's vocabulary, 'x' in the data's"}});
  return rows;
}

}  // namespace lathe::tests
