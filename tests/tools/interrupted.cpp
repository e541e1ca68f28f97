// SIGTERM, which ends a run as a wrong input does not: with its state saved.

#include <chrono>
#include <csignal>
#include <thread>

#include <doctest/doctest.h>

#include "core/files.h"
#include "tests/support/scratch.h"
#include "tests/tools/bad_inputs.h"
#include "tests/tools/cli.h"

namespace lathe::tests {

namespace fs = std::filesystem;

TEST_SUITE_BEGIN("bad inputs");

TEST_CASE("SIGTERM ends with exit code 75, and the run goes on") {
  const ScratchFolder scratch;
  experiment("\"epochs\": 3", "\"epochs\": 400")(scratch.path());
  replace_in(scratch / "exp.json", "\"checkpoint_epochs\": 1", "\"checkpoint_epochs\": 400");
  const std::vector<std::string> train = {"train", "exp.json", "--out", "run", "--quiet"};
  {
    Child child({.arguments = train, .folder = scratch.path()});
    while (child.running() && !fs::exists(scratch / "run/metrics.jsonl"))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    child.signal(SIGTERM);
    const Finished finished = child.wait();
    CAPTURE(finished.err);
    CHECK(finished.code == 75);
    CHECK(finished.err.starts_with("lathe: error: stopped after step "));
    CHECK(finished.err.find("of 800") != std::string::npos);
    CHECK(finished.err.find("--resume") != std::string::npos);
    CHECK(finished.err.find('\n') == finished.err.size() - 1);
  }
  CHECK(read_text(scratch / "run/status.json").find("\"interrupted\"") != std::string::npos);
  CHECK(run_lathe({.arguments = {"eval", "run"}, .folder = scratch.path()}).code == 0);

  std::vector<std::string> resume = train;
  resume.push_back("--resume");
  const Finished resumed = run_lathe({.arguments = resume, .folder = scratch.path()});
  CAPTURE(resumed.err);
  CHECK(resumed.code == 0);
  CHECK(resumed.err.empty());
  CHECK(fs::exists(scratch / "run/checkpoints/step-00000800/manifest.json"));
}

TEST_CASE("SIGTERM in a sweep says how that goes on") {
  const ScratchFolder scratch;
  experiment("\"epochs\": 3", "\"epochs\": 400")(scratch.path());
  replace_in(scratch / "exp.json", "\"checkpoint_epochs\": 1", "\"checkpoint_epochs\": 400");
  write_atomic(scratch / "sweep.json",
               std::string_view(R"({"schema": 1, "name": "s", "experiment": "exp.json"})"));
  const std::vector<std::string> sweep = {"sweep", "sweep.json", "--out", "s", "--quiet"};
  {
    Child child({.arguments = sweep, .folder = scratch.path()});
    while (child.running() && !fs::exists(scratch / "s/s/metrics.jsonl"))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    child.signal(SIGTERM);
    const Finished finished = child.wait();
    CAPTURE(finished.err);
    CHECK(finished.code == 75);
    CHECK(finished.err.starts_with("lathe: error: point s: stopped after step "));
    CHECK(finished.err.find("the same command again goes on") != std::string::npos);
    CHECK(finished.err.find("--resume") == std::string::npos);
  }
  const Finished again = run_lathe({.arguments = sweep, .folder = scratch.path()});
  CAPTURE(again.err);
  CHECK(again.code == 0);
  CHECK(fs::exists(scratch / "s/s/checkpoints/step-00000800/manifest.json"));
}

TEST_CASE("prove-resume ends with exit code 7 when a run does not go on, and says why") {
  const ScratchFolder scratch;
  const auto text = [](const std::string& lines) {
    std::string all;
    for (int i = 0; i < 2000; ++i) all += lines;
    return all;
  };
  write_atomic(scratch / "input.txt", text("aab\n abaa\n"));
  write_atomic(scratch / "lm.json", std::string_view(R"({
    "schema": 1, "name": "tiny", "seed": 4,
    "data": {"type": "text", "root": ".", "context": 8, "batch": 4},
    "model": {"type": "gpt", "context": 8, "vocab": 4, "layers": 1, "heads": 1, "width": 4, "dropout": 0},
    "optimizer": {"type": "adam", "lr": 0.01},
    "train": {"epochs": 10}, "output": {"checkpoint_epochs": 10}})"));
  const std::vector<std::string> command = {"prove-resume", "lm.json", "--out",     "proof", "--stops",
                                            "10",           "--quiet", "--threads", "1"};
  Child child({.arguments = command, .folder = scratch.path()});
  while (child.running() && !fs::exists(scratch / "proof/interrupted/resolved.json"))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  write_atomic(scratch / "input.txt", text("aba\n abaa\n"));  // no resume is allowed on other data
  const Finished finished = child.wait();
  CAPTURE(finished.err);
  CHECK(finished.code == 7);
  CHECK(finished.err.starts_with("lathe: error: prove-resume: the resumed run ended with exit code 3: "));
  CHECK(finished.err.find("the data changed") != std::string::npos);
  CHECK(finished.err.find("proof/interrupted.log") != std::string::npos);
  CHECK(finished.err.find('\n') == finished.err.size() - 1);
}

TEST_SUITE_END();

}  // namespace lathe::tests
