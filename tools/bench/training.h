#pragma once
// A model in training on random data, as the benchmarks of whole steps time it.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/math_mode.h"
#include "quant/regularizers.h"
#include "train/device_step.h"
#include "train/optim/optimizer.h"
#include "train/tasks.h"

namespace lathe::bench {

/// What is trained: sections of an experiment, null or empty for none.
struct TrainingCase {
  std::string model = "resnet20";
  int64_t batch = 128;
  Value quant = {};
  Value regularizers = Value::array();
  Value model_options = Value::object();  ///< of the section "model", beside its type
  Shape sample = {};                      ///< rank 0: what the model's defaults expect
  int64_t classes = 10;                   ///< that targets, and token ids, are drawn from
  double lr = 0.1;
  Value optimizer = {};  ///< section of an experiment; null: SGD, momentum 0.9, weight decay 5e-4, at `lr`
  Device device = Device::cpu();
  std::string precision = "f32";  ///< or tf32, bf16: on a CUDA device
  bool record = false;            ///< steps, where that is possible
};

/// The section "model" of a case.
Value model_section(const TrainingCase& training_case);

/// A way to quantize a model's weights, as benchmarks compare them.
struct Method {
  const char* name;
  const char* rule;  ///< of the section "quant", as JSON; null: float
  bool size_penalty = false;
};
std::span<const Method> methods();
TrainingCase quantized(TrainingCase training_case, const Method& method);

/// Steps on one fixed batch that lies on the device, each group of parameters at its own rate, cross-entropy
/// over classes or tokens or the mean absolute error of separated sound, products as this thread's
/// math_mode() was when it was made; quantizers are attached, initialised and updated as a run does.
class Training {
 public:
  explicit Training(const TrainingCase& training_case);
  /// Forward, loss, backward, update. Returns the loss.
  double step() { return advance().item(); }
  /// The same without waiting for the device.
  Tensor advance();
  /// What quantization adds to a step and nothing else: every weight's quantizer forward and backward,
  /// regularisers, hooks of the update. Changes no weight.
  void quantize_only();
  /// Elements of parameters that have a quantizer, and of all parameters but the quantizers' own.
  int64_t quantized_weights() const;
  int64_t weights() const;
  /// Steps that launched a recorded one, and the memory that it keeps to itself.
  const DeviceStep& device_step() const { return *device_step_; }

 private:
  Var with_regularizers(Var loss) const;
  bool steady() const;

  MathMode math_;
  std::unique_ptr<Model> model_;
  std::vector<Quantizer*> quantizers_;
  std::vector<std::unique_ptr<Regularizer>> regularizers_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<double> rates_;
  std::unique_ptr<Task> task_;
  Batch batch_;
  std::unique_ptr<DeviceStep> device_step_;
  std::vector<Tensor> output_gradients_;  // for quantize_only()
};

}  // namespace lathe::bench
