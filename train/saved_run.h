#pragma once
// A run on disk, opened for reading: its model, its data, its newest weights.

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/fields.h"
#include "core/math_mode.h"
#include "core/safetensors.h"
#include "data/dataset.h"
#include "layers/model.h"
#include "train/packing.h"
#include "train/tasks.h"

namespace lathe {

/// What a run's folder says: sections of resolved.json, and where the newest complete checkpoint stands.
struct SavedRun {
  std::filesystem::path folder;
  FieldPath where;  ///< resolved.json
  std::string name;
  int64_t seed = 0;
  Value model;
  Value quant;  ///< null where nothing is quantized
  Value data;   ///< null when the run was imported without one
  Value loss;
  MathMode math;                     ///< what its evaluation computes with: whoever evaluates enters it
  Value input;                       ///< describe_input() of its data; null where unknown (imported weights)
  std::filesystem::path checkpoint;  ///< of a folder
  std::filesystem::path packed;      ///< of a packed file, which then holds all of this
  int64_t step = 0;
};

/// A run's folder or a packed file. IoError when it is not there, FormatError when it holds no run or no
/// complete checkpoint, or a packed file whose header describes another model than its tensors.
SavedRun open_run(const std::filesystem::path& path);

/// The sample's shape of a SavedRun::input; FormatError, naming `source`, where it holds none, or more than
/// 2^31 numbers.
Shape input_shape(const Value& input, const std::filesystem::path& source);

/// The run's model with the weights that were evaluated: averaged ones where the run has them.
std::unique_ptr<Model> load_run_model(const SavedRun& run, Device device = Device::cpu());

/// What a packed file of the run says of it.
PackedHeader header_of(const SavedRun& run);

/// Post-training quantization: a run's weights as they were evaluated, under the quantizers of another
/// "quant" section, whose own parameters come from the weights. ConfigError.
/// The ranges of activations come from the first 16 batches of the run's training split, without
/// augmentation.
std::unique_ptr<Model> quantize_run(const SavedRun& run, const Value& quant, const FieldPath& where,
                                    Device device = Device::cpu());

/// Fills a fresh model with the weights of `from`: a run, a packed file, or a .safetensors file under
/// PyTorch's names. Reads it when called, but opens a run at once.
std::function<void(Model&)> initialiser(const std::string& from);
/// Of the weights that initialiser() takes from there: of a file its content, of a run's folder its newest
/// checkpoint's tensors. 16 hexadecimal digits.
std::string hash_of_weights(const std::string& from);

/// ConfigError where the data are text whose tokens are not those that the run was trained on.
void check_tokens(const SavedRun& run, const DatasetInfo& data);

/// The task its metrics come from, on the given data.
std::unique_ptr<Task> run_task(const SavedRun& run, const DatasetInfo& data);

/// One split ("train" or "test") of a "data" section without augmentation, for evaluation.
std::unique_ptr<Dataset> evaluation_split(const Value& data, const FieldPath& where, const std::string& split,
                                          uint64_t seed);

/// Writes a run's folder that holds a model's weights as its only checkpoint, and `data` (or null) as what
/// they expect. ConfigError when the folder is there and not empty.
void write_imported_run(const std::filesystem::path& folder, const Value& model_section,
                        const Value& data_section, const Model& model);

}  // namespace lathe
