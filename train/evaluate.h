#pragma once
#include <functional>
#include <optional>
#include <string>

#include "data/loader.h"
#include "quant/summary.h"
#include "train/tasks.h"

namespace lathe {

struct EvaluationResult {
  Metrics metrics;
  int64_t samples = 0;
  std::vector<Count> counts;              ///< see Evaluation::counts()
  std::optional<QuantSummary> quantized;  ///< of the weights that were evaluated
  std::vector<std::string> warnings;      ///< what looks wrong with them, see QuantDiagnosis
  int64_t size_bytes = 0;                 ///< of the packed file; 0 where nobody asked
  std::string logits_hash;                ///< of all outputs in order, hexadecimal; empty unless asked for
  double seconds = 0;
};

struct EvaluateOptions {
  bool hash = false;
  /// Called with each batch's output, in order.
  std::function<void(const Tensor& output)> on_output = {};
};

/// The task's metrics over all of a loader's samples, in evaluation mode and without gradients. Counts as one
/// forward, so that weights are quantized once. The mode is as before afterwards.
EvaluationResult evaluate(Model& model, const Task& task, Loader& loader,
                          const EvaluateOptions& options = {});

/// The same over a data set, in its order.
EvaluationResult evaluate(Model& model, const Task& task, const Dataset& dataset, int64_t batch,
                          const EvaluateOptions& options = {});

}  // namespace lathe
