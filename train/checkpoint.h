#pragma once
// A run's state on disk: complete or absent.
//
//   checkpoints/step-00012345/
//     model.safetensors      raw parameters and buffers by path
//     optimizer.safetensors  named slots
//     ema.safetensors        averaged weights, when the run has them
//     evaluated.safetensors  buffers that only evaluation uses, when the run has them
//     state.json             where the run stands
//     manifest.json          size and hash of each file; written last

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/fields.h"
#include "core/safetensors.h"

namespace lathe {

/// Where a run stands after `step` updates.
struct CheckpointState {
  int64_t step = 0;
  int64_t seed = 0;
  std::string experiment;  ///< experiment_hash() of the run
  Value progress;          ///< counters, sums, schedules' states: the trainer's
  void fields(FieldVisitor& v);
};

struct Checkpoint {
  CheckpointState state;
  std::vector<NamedTensor> model;
  std::vector<NamedTensor> optimizer;
  std::vector<NamedTensor> ema;  ///< empty: none
  /// Re-estimated statistics of batch norms (train/batch_statistics.h); empty: those of `model` or `ema`.
  std::vector<NamedTensor> evaluated = {};
};

/// Writes checkpoints/step-NNNNNNNN beside its place, flushes it to disk and renames it; returns its path.
/// Then removes all but the `keep` newest, and what killed runs left. The same checkpoint gives the same
/// bytes. IoError leaves every checkpoint there was as it was.
std::filesystem::path write_checkpoint(const std::filesystem::path& checkpoints, const Checkpoint& checkpoint,
                                       int64_t keep);

/// The complete checkpoints of a folder, oldest first. Those without a manifest are incomplete and left out;
/// a folder that is not there has none.
std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& checkpoints);

/// Reads one checkpoint. FormatError naming the file when a size or hash is not the manifest's, or something
/// is missing or unknown: a damaged checkpoint is never passed over for an older one.
Checkpoint read_checkpoint(const std::filesystem::path& directory);
/// The newest complete one; none when the folder has none.
std::optional<Checkpoint> read_newest_checkpoint(const std::filesystem::path& checkpoints);

}  // namespace lathe
