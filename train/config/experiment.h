#pragma once
// The experiment file: what a run trains, on what, and how.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/fields.h"
#include "core/math_mode.h"
#include "data/common.h"

namespace lathe {

/// The section "train".
struct TrainOptions {
  int64_t epochs = 0;
  std::optional<double> clip_norm;
  std::optional<double> ema;
  int64_t eval_epochs = 1;
  int64_t batch_norm_batches = 0;
  std::string precision = "f32";
  bool deterministic = true;
  bool winograd = true;
  bool cuda_graph = true;
  bool device_augment = true;
  void fields(FieldVisitor& v);
  /// Of training steps.
  MathMode math_mode() const { return {precision == "tf32", deterministic, winograd}; }
  /// Of evaluation, and of statistics measured for it.
  MathMode evaluation_math_mode() const { return {.winograd = winograd}; }
};

/// The section "output".
struct OutputOptions {
  int64_t checkpoint_epochs = 1;
  int64_t keep = 2;
  void fields(FieldVisitor& v);
};

/// An experiment that was read and checked in full: every section is known to its registry.
struct Experiment {
  static constexpr int64_t kSchema = 1;

  FieldPath where;  ///< the file, for messages; where / "model" is a section's place
  std::string name;
  int64_t seed = 0;
  std::string device = "auto";
  std::optional<int64_t> threads;
  // Sections as they were given, so that whoever builds from them can name their lines. A registry reads
  // each: data_registry(), model_registry(), quantizer_registry(), loss_registry(), optimizer_registry(),
  // schedule_registry(). `quant` is null where nothing is quantized.
  Value data, model, quant, regularizers, loss, optimizer, schedule;
  DataCommon data_common;  ///< the keys of "data" that every data set has
  TrainOptions train;
  OutputOptions output;
};

/// Reads an experiment file; comments are allowed. `sets` are changes "a.b=v", made in their order before the
/// file is checked. A path names keys and list indices: "optimizer.lr", "optimizer.groups[1].lr" or
/// "optimizer.groups.1.lr". A value is JSON where it parses as JSON, else it is a string. ConfigError names
/// file, line and path; IoError when the file cannot be read.
Experiment load_experiment(const std::filesystem::path& path, const std::vector<std::string>& sets = {});

/// The same from a text; `source` names it in messages.
Experiment parse_experiment(std::string_view text, const std::string& source,
                            const std::vector<std::string>& sets = {});

/// Only the "data" section of an experiment file, whatever else it holds (`lathe eval --data`). ConfigError,
/// besides those of load_experiment, for a change of anything else.
struct DataSection {
  Value data;
  FieldPath where;  ///< of the section
};
DataSection load_data_section(const std::filesystem::path& path, const std::vector<std::string>& sets = {});
/// The same of a data set with its defaults, by name.
DataSection named_data_section(const std::string& type, const std::vector<std::string>& sets = {});

/// The experiment with every default, in a fixed order of keys. Reading it back gives the same experiment.
Value resolve_experiment(const Experiment& experiment);

/// JSON Schema (draft 2020-12) of experiment files, made from the tables that read them.
Value experiment_schema();

}  // namespace lathe
