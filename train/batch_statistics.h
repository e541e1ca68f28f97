#pragma once
// Batch norms whose running statistics are measured again, under the weights that evaluation multiplies with.

#include <vector>

#include "core/safetensors.h"
#include "data/loader.h"
#include "layers/model.h"

namespace lathe {

/// While this lives, the running statistics of a model's batch norms are the mean of those of the first
/// `batches` batches of a loader (Nagel et al. 2022, section 4): running averages lag behind oscillating and
/// noisy weights. Evaluation's weights, no gradients; the statistics before come back at the end. Nothing
/// happens for 0 batches or without batch norms.
class UseBatchStatistics {
 public:
  UseBatchStatistics(Model& model, Loader* loader, int64_t batches);
  UseBatchStatistics(const UseBatchStatistics&) = delete;
  UseBatchStatistics& operator=(const UseBatchStatistics&) = delete;
  ~UseBatchStatistics();

  /// Copies of the statistics, under the names of their buffers.
  std::vector<NamedTensor> state() const;

 private:
  std::vector<Buffer*> buffers_;
  std::vector<Tensor> before_;
};

}  // namespace lathe
