#pragma once
// A model in training on random data, as the benchmarks of whole steps time it.

#include <memory>
#include <string>
#include <vector>

#include "quant/regularizers.h"
#include "train/optim/optimizer.h"
#include "train/tasks.h"

namespace lathe::bench {

/// What is trained: sections of an experiment, null or empty for none.
struct TrainingCase {
  std::string model = "resnet20";
  int64_t batch = 128;
  Value quant = {};
  Value regularizers = Value::array();
};

/// SGD with momentum 0.9 and weight decay 5e-4 at rate 0.1 on one fixed batch, cross-entropy over ten
/// classes; quantizers are attached, initialised and updated as a run does.
class Training {
 public:
  explicit Training(const TrainingCase& training_case);
  /// Forward, loss, backward, update. Returns the loss.
  double step();
  /// What quantization adds to a step and nothing else: every weight's quantizer forward and backward,
  /// regularisers, hooks of the update. Changes no weight.
  void quantize_only();
  /// Elements of weights that have a quantizer, and all elements of weights.
  int64_t quantized_weights() const;
  int64_t weights() const;

 private:
  Var with_regularizers(Var loss) const;

  std::unique_ptr<Model> model_;
  std::vector<Quantizer*> quantizers_;
  std::vector<std::unique_ptr<Regularizer>> regularizers_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Task> task_;
  Batch batch_;
  std::vector<Tensor> output_gradients_;  // for quantize_only()
};

}  // namespace lathe::bench
