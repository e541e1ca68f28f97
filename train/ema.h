#pragma once
#include <span>
#include <vector>

#include "core/safetensors.h"
#include "layers/model.h"
#include "layers/parameter.h"
#include "quant/activation.h"

namespace lathe {

/// Exponential moving average of all parameters and buffers of a model (not of its quantizers' buffers):
/// after each step average = decay average + (1 - decay) value. Starts from the model's values at
/// construction, the grid of an activation from what its first batch gives; integer buffers are copied.
class Ema {
 public:
  /// `model` outlives this. ConfigError unless 0 <= decay < 1.
  Ema(Module& model, double decay);

  /// Between a step's forward and its update: averages of grids whose first batch has come since begin with
  /// that batch's values.
  void begin_grids();
  void update();

  /// Averages under the model's names; handles share storage.
  std::vector<NamedTensor> state() const;
  /// FormatError when a tensor is missing, unknown or misshapen. The model's own state is there already.
  void restore(std::span<const NamedTensor> tensors);

  /// Exchanges the model's values and the averages; a second call brings them back.
  void swap();

 private:
  void find_waiting();

  double decay_;
  std::vector<ActivationQuantizer*> activations_;
  std::vector<ActivationQuantizer*> waiting_;  // of those, for their first batch
  std::vector<Parameter*> parameters_;
  std::vector<Buffer*> buffers_;
  std::vector<const Buffer*> as_they_are_;  // of quantizers: not averaged, but part of the state
  std::vector<std::string> names_;
  std::vector<Tensor> averages_;
  std::vector<Tensor> values_;  // handles during update(), kept for their capacity
};

/// The model computes with its averages while this lives (evaluation, saving what was evaluated).
class UseAverages {
 public:
  explicit UseAverages(Ema* ema) : ema_(ema) {
    if (ema_ != nullptr) ema_->swap();
  }
  UseAverages(const UseAverages&) = delete;
  UseAverages& operator=(const UseAverages&) = delete;
  ~UseAverages() {
    if (ema_ != nullptr) ema_->swap();
  }

 private:
  Ema* ema_;
};

}  // namespace lathe
