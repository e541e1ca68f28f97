#pragma once
// The sweep file: many runs of one idea, and what is made of their weights.

#include <filesystem>
#include <string>
#include <vector>

#include "core/fields.h"

namespace lathe {

/// One model to make: trained from an experiment, or another point's weights quantized without training.
struct SweepPoint {
  std::string name;  ///< of its folder or file, and in the table
  // trained
  std::filesystem::path experiment = {};
  std::vector<std::string> sets = {};  ///< changes "a.b=v" to the experiment, in order
  std::string init = {};               ///< a run or a safetensors file to start from; empty: none
  // post-training
  std::string from = {};  ///< name of a trained point; empty for a trained one
  Value quant = {};       ///< its "quant" section
  FieldPath where = {};   ///< of the point, for messages

  bool trained() const { return from.empty(); }
};

struct Sweep {
  static constexpr int64_t kSchema = 1;
  std::string name;
  std::vector<SweepPoint> points;  ///< a point stands after the one it comes from
};

/// What the command line changes in every trained point.
struct SweepChanges {
  std::vector<std::string> sets;
  std::string init;  ///< replaces that of points that have one and of the file; empty: as in the file
};

/// Reads a sweep file; comments are allowed:
///
///   {"schema": 1, "name": "table", "experiment": "base.json", "init": null,
///    "set": {"train.epochs": 8},
///    "grid": {"quant.rules[0].bits": [2, 3, 4]},
///    "points": [{"name": "lsq", "set": {"quant": {...}}},
///               {"name": "lsq-ptq8", "from": "lsq", "quant": {...}}]}
///
/// Every trained point is made once for each combination of the grid's values, which add "bits=2" to its
/// name; without `points` there is one. `experiment` is relative to the sweep file. ConfigError with file,
/// line and path; IoError when the file cannot be read.
Sweep load_sweep(const std::filesystem::path& path, const SweepChanges& changes = {});

}  // namespace lathe
