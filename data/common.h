#pragma once
// Keys that every "data" section of an experiment file understands.

#include <cstdint>
#include <optional>

#include "core/fields.h"

namespace lathe {

/// Batch sizes belong to the trainer, limits to the data set; they stand in one section, so one struct lists
/// them. Every data set's options contain it.
struct DataCommon {
  int64_t batch = 128;
  std::optional<int64_t> eval_batch;  ///< `batch` when null
  std::optional<int64_t> limit;       ///< of the training split: its first samples
  std::optional<int64_t> eval_limit;  ///< of the test split
  void fields(FieldVisitor& v);

  /// Samples to use of a split ("train" or "test") that has `size`.
  int64_t limited(std::string_view split, int64_t size) const;
};

/// These keys of a "data" section; the other keys are left to its data set.
DataCommon read_data_common(const Value& section, const FieldPath& where);

}  // namespace lathe
