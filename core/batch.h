#pragma once
// What a loader hands to a model and a task.

#include <cstdint>
#include <vector>

#include "core/tensor.h"

namespace lathe {

/// The target of a position of a text that is context only: it counts in no loss and in no metric.
inline constexpr int64_t kUnscored = -100;

/// `size` samples. Images: inputs[0] is (size, H, W, C) f32. Classification targets[0]: (size) i64 class
/// indices, or (size, classes) f32 probabilities when labels were mixed. Text: inputs[0] and targets[0] are
/// (size, T) i64, tokens and what follows each of them.
struct Batch {
  std::vector<Tensor> inputs = {};
  std::vector<Tensor> targets = {};
  int64_t size = 0;

  /// The same samples on a device; shares what is there already.
  Batch to(Device device) const {
    Batch there{{}, {}, size};
    for (const Tensor& tensor : inputs) there.inputs.push_back(tensor.to(device));
    for (const Tensor& tensor : targets) there.targets.push_back(tensor.to(device));
    return there;
  }
};

}  // namespace lathe
