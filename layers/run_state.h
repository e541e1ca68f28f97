#pragma once
#include <cstdint>

#include "core/dtype.h"

namespace lathe {

enum class Mode : uint8_t { Train, Eval };

/// What a run is at this moment; held once, in the root of a module tree. A run is a pure function of it.
struct RunState {
  Mode mode = Mode::Train;
  uint64_t seed = 0;
  uint32_t step = 0;
  uint64_t forward =
      0;  ///< counts training forwards and whole evaluations; keys the memo of Parameter::value()
  /// Above 0: batch norms take the batch's statistics in evaluation too, and move the running ones by this
  /// share.
  double statistics_momentum = 0;
  /// bf16: training forwards compute activations in bf16 on a CUDA device; parameters, quantizers and losses
  /// keep their type, and evaluation never rounds.
  DType activations = DType::F32;
  uint64_t first_sample = 0;  ///< index of this micro-batch's first sample in the step's whole batch
};

/// What a root needs before its first parameter is made.
struct RootOptions {
  uint64_t seed = 0;
  DType dtype = DType::F32;       ///< of parameters and buffers
  Device device = Device::cpu();  ///< Device::meta() builds shapes only
  /// False: weights (Role::Weight) are zeros until a file gives all of them. What quantizers add has its
  /// first values all the same: no file of weights holds those.
  bool draw = true;
  /// Of the tree, tied ones too; ConfigError for one more. A model that a file describes is no larger than
  /// the file.
  int64_t most_parameters = INT64_MAX;
};

}  // namespace lathe
