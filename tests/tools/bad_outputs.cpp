// Places that cannot be written, and disks that are full.

#include <stdexcept>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "core/files.h"
#include "tests/support/scratch.h"
#include "tests/tools/bad_inputs.h"
#include "tests/tools/cli.h"

namespace lathe::tests {
namespace {

namespace fs = std::filesystem;

void make_pipe(const fs::path& path) {
  if (mkfifo(path.c_str(), 0600) != 0) throw std::runtime_error("cannot make " + path.string());
}

std::vector<std::string> train_into(const std::string& folder) {
  return {"train", "exp.json", "--out", folder, "--quiet"};
}

// As if the run had been killed before its last checkpoint.
Prepare without_last_checkpoint() {
  return trained([](const fs::path& run) { fs::remove_all(run / "checkpoints/step-00000006"); });
}

std::vector<BadInput> unwritable_places() {
  const Prepare blocked = all({trained(), file("file", "mine")});
  return {
      {"run below a file", blocked, train_into("file/run"), 5, {"file/run: ", "Not a directory"}},
      {"run that is a file",
       blocked,
       train_into("file"),
       2,
       {"file: a file is there, not a folder", "--out"}},
      {"run with an endless name", blocked, train_into(std::string(300, 'x')), 5, {"File name too long"}},
      {"export below a file", blocked, {"export", "run", "-o", "file/w"}, 5, {"file/w: ", "Not a directory"}},
      {"export into no folder", blocked, {"export", "run", "-o", "no/w"}, 5, {"no/w: ", "No such file"}},
      {"export onto a folder",
       blocked,
       {"export", "run", "-o", "run"},
       5,
       {"run: cannot replace: it is not a regular file"}},
      {"export onto a pipe",
       all({trained(), [](const fs::path& folder) { make_pipe(folder / "pipe"); }}),
       {"export", "run", "-o", "pipe"},
       5,
       {"pipe: cannot replace: it is not a regular file"}},
      {"logits below a file", blocked, {"eval", "run", "--logits", "file/l"}, 5, {"file/l: "}},
      {"generated data below a file",
       blocked,
       {"data", "generate", "exp.json", "--out", "file/d"},
       5,
       {"file/d: ", "Not a directory"}},
      {"generated data where some are",
       all({experiment(), file("d/preview.png", "mine")}),
       {"data", "generate", "exp.json", "--out", "d"},
       5,
       {"d/preview.png: ", "is there already", "--overwrite"}},
      {"generated pictures where one is",
       all({experiment(), file("d/pictures/00001-1.png", "mine")}),
       {"data", "generate", "exp.json", "--out", "d", "--pictures", "2"},
       5,
       {"d/pictures/00001-1.png: ", "is there already", "--overwrite"}},
  };
}

std::vector<BadInput> full_disks() {
  return {
      {"stdout that is full",
       nothing(),
       {"list"},
       5,
       {"stdout: cannot write: No space left"},
       {},
       {},
       "/dev/full"},
      {"stdout that is full, in JSON",
       trained(),
       {"info", "run", "--json"},
       5,
       {"stdout", "No space left"},
       {},
       {},
       "/dev/full"},
      {"disk full at the first checkpoint",
       experiment(),
       train_into("run"),
       5,
       {"run/checkpoints/", "model.safetensors: cannot write: File too large"},
       {"run"},
       20000},
      {"disk full at a later checkpoint",
       without_last_checkpoint(),
       {"train", "exp.json", "--out", "run", "--resume", "--quiet"},
       5,
       {"run/checkpoints/", "model.safetensors: cannot write: File too large"},
       {"run/status.json", "run/train.log", "run/metrics.jsonl", "run/summary.json"},
       20000},
      {"disk full in an export over a file",
       all({trained(), file("w.safetensors", "precious")}),
       {"export", "run", "-o", "w.safetensors"},
       5,
       {"w.safetensors: cannot write: File too large"},
       {},
       20000},
  };
}

}  // namespace

std::vector<BadInput> bad_outputs() {
  std::vector<BadInput> rows = unwritable_places();
  const std::vector<BadInput> full = full_disks();
  rows.insert(rows.end(), full.begin(), full.end());
  return rows;
}

TEST_SUITE_BEGIN("bad inputs");

TEST_CASE("a run that met a full disk goes on once there is space") {
  const ScratchFolder scratch;
  without_last_checkpoint()(scratch.path());
  const std::vector<std::string> resume = {"train", "exp.json", "--out", "run", "--resume", "--quiet"};
  const Finished full =
      run_lathe({.arguments = resume, .folder = scratch.path(), .file_size_limit = size_t{20000}});
  CHECK(full.code == 5);
  CHECK(read_text(scratch / "run/status.json").find("\"failed\"") != std::string::npos);
  const Finished resumed = run_lathe({.arguments = resume, .folder = scratch.path()});
  CAPTURE(resumed.err);
  CHECK(resumed.code == 0);
  CHECK(fs::exists(scratch / "run/checkpoints/step-00000006/manifest.json"));
}

TEST_SUITE_END();

}  // namespace lathe::tests
