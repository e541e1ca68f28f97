#pragma once
// What others see of a training run. The library prints nothing: terminals, log files and checkpoints are
// observers.

#include <string_view>

#include "train/evaluate.h"

namespace lathe {

class Trainer;

/// Where a run stands after a step.
struct Progress {
  int64_t step = 0;  ///< steps made
  int64_t total_steps = 0;
  int64_t epoch = 0;  ///< epochs finished
  int64_t epochs = 0;
  int64_t step_in_epoch = 0;  ///< steps made in the current epoch; steps_per_epoch at its end
  int64_t steps_per_epoch = 0;
  double loss = 0;           ///< of the latest step
  double epoch_loss = 0;     ///< mean over the epoch's samples so far
  double learning_rate = 0;  ///< of the section's own group, or the last with parameters; in the latest step
  double samples_per_second = 0;  ///< of training steps in this epoch
  double eta_seconds = 0;         ///< training left, evaluations not counted
  bool epoch_ended = false;
  bool stopping = false;  ///< on request: the run ends after this step

  bool done() const { return step == total_steps; }
};

/// Called by the thread that trains, in this order after each step. What an observer throws ends the run.
class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  virtual void on_step(const Progress&) {}
  virtual void on_epoch(const Progress&) {}
  virtual void on_evaluation(const Progress&, const EvaluationResult&) {}
  /// Everything due at this step is done: the moment to save the trainer's state.
  virtual void on_settled(const Progress&, const Trainer&) {}
  virtual void on_checkpoint(const Progress&, std::string_view /*path*/) {}
  /// A sentence worth reading ("resumed from step 1200").
  virtual void on_message(std::string_view) {}
};

}  // namespace lathe
