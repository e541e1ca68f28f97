#pragma once
// A table of wrong inputs: how each comes about, and what the user is told.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lathe::tests {

using Prepare = std::function<void(const std::filesystem::path& folder)>;

struct BadInput {
  std::string name;
  Prepare prepare;                     ///< writes files into an empty folder, in which the command then runs
  std::vector<std::string> arguments;  ///< behind `lathe`
  int code;
  std::vector<std::string> says;  ///< parts of the error's line: what, where, found, expected
  /// Paths below which the command may write before it fails: the folder of a run that was begun. Everything
  /// else must stay as it was.
  std::vector<std::string> writes = {};
  std::optional<size_t> file_size_limit = {};
  std::string out = {};  ///< stdout
};

// The table, by subject.
std::vector<BadInput> bad_experiments();
std::vector<BadInput> bad_command_lines();
std::vector<BadInput> bad_data();
std::vector<BadInput> bad_pictures();
std::vector<BadInput> bad_weights();
std::vector<BadInput> bad_runs();
std::vector<BadInput> bad_packed();
std::vector<BadInput> bad_outputs();
std::vector<BadInput> bad_sweeps();
std::vector<BadInput> bad_sounds();
std::vector<BadInput> bad_texts();

/// A small experiment that trains in a moment: two steps an epoch, three epochs, three checkpoints.
extern const std::string kExperiment;

Prepare nothing();
/// A file of this text.
Prepare file(std::string path, std::string text);
/// exp.json: the small experiment with `from`, which stands there once, replaced by `to`.
Prepare experiment(std::string from = {}, std::string to = {});
/// One after another.
Prepare all(std::vector<Prepare> steps);
/// exp.json and run/, where it was trained; then `spoil` is given the run's folder.
Prepare trained(Prepare spoil = nothing());

/// Replaces `from`, which must be there once.
void replace_in(const std::filesystem::path& file, const std::string& from, const std::string& to);
void truncate(const std::filesystem::path& file, size_t bytes);
void flip_bit(const std::filesystem::path& file, size_t byte);

}  // namespace lathe::tests
