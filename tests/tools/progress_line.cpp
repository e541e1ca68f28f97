// The line of progress on terminals of any width.

#include "tools/progress_line.h"

#include <utility>

#include <doctest/doctest.h>

#include "core/files.h"
#include "tests/support/scratch.h"
#include "tests/tools/bad_inputs.h"
#include "tests/tools/cli.h"

namespace lathe::cli {
namespace {

ProgressLine line() {
  return {.head = "epoch 3/10",
          .done = 412,
          .total = 782,
          .fields = {"412/782", "1830 img/s", "ETA 2:31", "loss 0.412", "lr 0.08", "bits 4.31",
                     "size 71.2 kB", "zeros 38 %"}};
}

}  // namespace

TEST_SUITE_BEGIN("progress");

TEST_CASE("progress: columns are code points outside escape sequences") {
  CHECK(columns_of("") == 0);
  CHECK(columns_of("abc") == 3);
  CHECK(columns_of("━╸ é") == 4);
  CHECK(columns_of("\x1b[36mab\x1b[0m") == 2);
  CHECK(columns_of("\x1b[1;3") == 0);  // never ends
}

TEST_CASE("progress: a cut keeps code points whole, and every escape sequence") {
  CHECK(cut("abc", 5) == "abc");
  CHECK(cut("abc", 2) == "ab");
  CHECK(cut("a━b", 2) == "a━");
  CHECK(cut("a━b", 1) == "a");
  CHECK(cut("━", 0).empty());
  CHECK(cut("\x1b[36mabc\x1b[0m", 2) == "\x1b[36mab\x1b[0m");
}

TEST_CASE("progress: the bar gives way first, then the last fields, then the head") {
  const std::string all =
      "412/782  1830 img/s  ETA 2:31  loss 0.412  lr 0.08  bits 4.31  size 71.2 kB  zeros 38 %";
  const size_t without_bar = columns_of("epoch 3/10  " + all);
  CHECK(fit(line(), 1000) == "epoch 3/10 ━━━━━━╸      " + all);
  CHECK(fit(line(), without_bar + 12) == fit(line(), 1000));
  CHECK(fit(line(), without_bar + 4) == "epoch 3/10 ━━╸  " + all);
  CHECK(fit(line(), without_bar + 3) == "epoch 3/10  " + all);
  CHECK(fit(line(), without_bar) == "epoch 3/10  " + all);
  CHECK(fit(line(), without_bar - 1) ==
        "epoch 3/10  412/782  1830 img/s  ETA 2:31  loss 0.412  lr 0.08  bits 4.31  size 71.2 kB");
  CHECK(fit(line(), 79) == "epoch 3/10  412/782  1830 img/s  ETA 2:31  loss 0.412  lr 0.08  bits 4.31");
  CHECK(fit(line(), 10) == "epoch 3/10");
  CHECK(fit(line(), 5) == "epoch");
  CHECK(fit(line(), 0).empty());
  for (size_t columns = 0; columns < 150; ++columns) CHECK(columns_of(fit(line(), columns)) <= columns);
}

TEST_CASE("progress: a bar is empty before the first step and full after the last") {
  ProgressLine one = line();
  one.fields = {"x"};
  one.done = 0;
  CHECK(fit(one, 80) == "epoch 3/10 ╸            x");
  one.done = one.total;
  CHECK(fit(one, 80) == "epoch 3/10 ━━━━━━━━━━━━ x");
  one.done = one.total = 0;
  CHECK(fit(one, 80) == "epoch 3/10 ╸            x");
}

TEST_CASE("progress: a rate counts images where classes of images are trained, else samples") {
  const tests::ScratchFolder scratch;
  const auto train = [&](const char* experiment, const char* out) {
    const tests::Finished finished =
        tests::run_lathe({.arguments = {"train", experiment, "--out", out, "--set", "train.epochs=1"},
                          .folder = scratch.path()});
    CAPTURE(finished.err);
    REQUIRE(finished.code == 0);
    return std::pair(finished.out, finished.err);
  };
  tests::experiment()(scratch.path());
  const auto [images, images_progress] = train("exp.json", "images");
  CHECK(images.find(" img/s  ") != std::string::npos);
  CHECK(images_progress.find(" img/s\n") != std::string::npos);

  std::string text;
  for (int i = 0; i < 30; ++i) text += "aab\n abaa\n";
  write_atomic(scratch / "input.txt", text);
  write_atomic(scratch / "lm.json", std::string_view(R"({
    "schema": 1, "name": "lm", "seed": 4,
    "data": {"type": "text", "root": ".", "context": 8, "batch": 4},
    "model": {"type": "gpt", "context": 8, "vocab": 4, "layers": 1, "heads": 1, "width": 4, "dropout": 0},
    "optimizer": {"type": "adam", "lr": 0.01}, "train": {"epochs": 1}})"));
  const auto [tokens, tokens_progress] = train("lm.json", "text");
  CHECK(tokens.find(" samples/s  ") != std::string::npos);
  CHECK(tokens_progress.find(" samples/s\n") != std::string::npos);
  CHECK((tokens + tokens_progress).find("img/s") == std::string::npos);
}

TEST_SUITE_END();

}  // namespace lathe::cli
