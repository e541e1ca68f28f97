// Every wrong input ends in its exit code and one line that helps, and damages nothing.

#include "tests/tools/bad_inputs.h"

#include <map>
#include <set>
#include <sstream>
#include <stdexcept>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "tests/support/scratch.h"
#include "tests/tools/cli.h"

namespace lathe::tests {

namespace fs = std::filesystem;

const std::string kExperiment = R"({
  "schema": 1, "name": "tiny", "seed": 4,
  "data": {"type": "glyphs", "train": 64, "test": 16, "batch": 32, "augment": [{"type": "flip"}]},
  "model": {"type": "mlp", "input": [32, 32, 3], "hidden": [4], "classes": 10},
  "loss": {"type": "cross_entropy"},
  "optimizer": {"type": "sgd", "lr": 0.05, "momentum": 0.9},
  "schedule": {"type": "constant"},
  "train": {"epochs": 3},
  "output": {"checkpoint_epochs": 1, "keep": 3}
})";

namespace {

// Every file's content by path; what is no regular file by its kind.
using Tree = std::map<std::string, std::string>;

Tree read_tree(const fs::path& root) {
  Tree tree;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const std::string name = fs::relative(entry.path(), root).string();
    const bool regular = entry.symlink_status().type() == fs::file_type::regular;
    tree[name] =
        regular ? read_text(entry.path()) : concat("kind ", static_cast<int>(entry.symlink_status().type()));
  }
  return tree;
}

bool below(const std::string& path, const std::vector<std::string>& roots) {
  for (const std::string& root : roots) {
    if (path == root || path.starts_with(root + "/")) return true;
  }
  return false;
}

void expect_untouched(const Tree& before, const Tree& after, const std::vector<std::string>& writes) {
  for (const auto& [path, content] : before) {
    if (below(path, writes)) continue;
    const auto found = after.find(path);
    CHECK_MESSAGE(found != after.end(), path, " is gone");
    if (found != after.end()) CHECK_MESSAGE(found->second == content, path, " was changed");
  }
  for (const auto& [path, content] : after) {
    CHECK_MESSAGE((before.contains(path) || below(path, writes)), path, " was left behind");
  }
}

void expect_one_line(const std::string& err, const std::vector<std::string>& says) {
  std::istringstream lines(err);
  int errors = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("lathe: warning: ")) continue;
    if (line.find("WARNING: AddressSanitizer failed to allocate") != std::string::npos) continue;
    CHECK(line.starts_with("lathe: error: "));
    CHECK_MESSAGE(line.find(".cpp:") == std::string::npos, "a position in our source helps no user");
    ++errors;
    for (const std::string& part : says) {
      CHECK_MESSAGE(line.find(part) != std::string::npos, "the line lacks: ", part);
    }
  }
  CHECK(errors == 1);
}

void check(const BadInput& bad) {
  CAPTURE(bad.name);
  const ScratchFolder scratch;
  bad.prepare(scratch.path());
  const Tree before = read_tree(scratch.path());
  const Finished finished = run_lathe({.arguments = bad.arguments,
                                       .folder = scratch.path(),
                                       .file_size_limit = bad.file_size_limit,
                                       .out = bad.out});
  CAPTURE(finished.err);
  CHECK(finished.code == bad.code);
  expect_one_line(finished.err, bad.says);
  expect_untouched(before, read_tree(scratch.path()), bad.writes);
}

// A folder with exp.json and run/, made once for all rows.
const fs::path& trained_once() {
  static const ScratchFolder scratch;
  static const bool made = [] {
    experiment()(scratch.path());
    const Finished finished =
        run_lathe({.arguments = {"train", "exp.json", "--out", "run", "--quiet"}, .folder = scratch.path()});
    if (finished.code != 0) throw std::runtime_error("cannot train: " + finished.err);
    return true;
  }();
  static_cast<void>(made);
  return scratch.path();
}

}  // namespace

Prepare nothing() {
  return [](const fs::path&) {};
}

Prepare file(std::string path, std::string text) {
  return [=](const fs::path& folder) {
    fs::create_directories((folder / path).parent_path());
    write_atomic(folder / path, text);
  };
}

Prepare experiment(std::string from, std::string to) {
  return [=](const fs::path& folder) {
    write_atomic(folder / "exp.json", kExperiment);
    if (!from.empty()) replace_in(folder / "exp.json", from, to);
  };
}

Prepare all(std::vector<Prepare> steps) {
  return [=](const fs::path& folder) {
    for (const Prepare& step : steps) step(folder);
  };
}

Prepare trained(Prepare spoil) {
  return [=](const fs::path& folder) {
    fs::copy(trained_once(), folder, fs::copy_options::recursive);
    spoil(folder / "run");
  };
}

void replace_in(const fs::path& path, const std::string& from, const std::string& to) {
  std::string text = read_text(path);
  const size_t at = text.find(from);
  if (at == std::string::npos || text.find(from, at + 1) != std::string::npos) {
    throw std::runtime_error(concat(path.string(), " does not hold once: ", from));
  }
  write_atomic(path, text.replace(at, from.size(), to));
}

void truncate(const fs::path& path, size_t bytes) {
  write_atomic(path, read_text(path).substr(0, bytes));
}

void flip_bit(const fs::path& path, size_t byte) {
  std::string text = read_text(path);
  text.at(byte) = static_cast<char>(text.at(byte) ^ 1);
  write_atomic(path, text);
}

TEST_SUITE_BEGIN("bad inputs");

TEST_CASE("every wrong input has its exit code, one line that helps, and leaves what was there") {
  std::set<std::string> names;
  for (const auto& subject : {bad_experiments, bad_command_lines, bad_data, bad_pictures, bad_weights,
                              bad_runs, bad_packed, bad_outputs, bad_sweeps, bad_sounds, bad_texts}) {
    for (const BadInput& bad : subject()) {
      CHECK_MESSAGE(names.insert(bad.name).second, "two rows are named ", bad.name);
      check(bad);
    }
  }
  CHECK(names.size() >= 100);
}

TEST_SUITE_END();

}  // namespace lathe::tests
