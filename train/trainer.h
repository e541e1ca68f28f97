#pragma once
// Training in memory: steps, epochs, evaluations. Folders and files are train/run.h's business.

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "data/device_images.h"
#include "data/loader.h"
#include "quant/activation.h"
#include "quant/regularizers.h"
#include "train/batch_statistics.h"
#include "train/checkpoint.h"
#include "train/config/experiment.h"
#include "train/device_step.h"
#include "train/ema.h"
#include "train/hooks.h"
#include "train/optim/optimizer.h"
#include "train/tasks.h"

namespace lathe {

/// What a trainer works with. All of it outlives the trainer.
struct TrainerParts {
  Model& model;
  Task& task;
  Optimizer& optimizer;
  Schedule& schedule;
  const Dataset& train;
  const Dataset* test = nullptr;  ///< null: no evaluations
  std::span<const std::unique_ptr<Regularizer>> regularizers = {};
};

struct TrainerOptions {
  TrainOptions train;
  int64_t batch = 128;
  int64_t eval_batch = 128;
  uint64_t seed = 0;
  int prefetch = 2;  ///< batches prepared ahead
  /// The size of the packed file if the model were stored as it is evaluated now; told with evaluations.
  std::function<int64_t()> stored_bytes = {};
  /// Looked at after each step; true ends the run with InterruptedError once the step is settled.
  const std::atomic<bool>* stop = nullptr;
};

/// A trainer's model as it is evaluated, while this lives.
struct Evaluated {
  UseAverages averages;
  UseBatchStatistics statistics;
};

/// One run. Its weights after step k are a function of (configuration, seed, k): the same for any number of
/// threads and for any number of interruptions. After two steps a step allocates no tensor memory from the
/// system.
class Trainer {
 public:
  Trainer(const TrainerParts& parts, const TrainerOptions& options);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;
  ~Trainer();

  /// One update. DivergedError, naming the step, when the loss or the gradients' norm is not finite; on the
  /// host no parameter is updated then, on a device the loss is looked at a few steps later, before anything
  /// is saved.
  void step();
  /// Steps, evaluates and tells the observers until the run is done. InterruptedError when stopped;
  /// DivergedError also when an evaluation's loss is not finite, before anyone hears of it or saves anything.
  void run(const std::vector<TrainObserver*>& observers);

  const Progress& progress() const { return progress_; }
  /// Steps that were launched as a recorded whole (core/step_graph.h).
  int64_t launched_steps() const { return device_step_.launches(); }
  /// True when batches are made on the device from a copy of the data set there.
  bool augments_on_device() const { return images_ != nullptr; }
  bool done() const { return progress_.done(); }
  /// On the test split; of the averages when there are some. ConfigError without a test split.
  EvaluationResult evaluate();
  /// The latest evaluation's; empty before the first.
  const Metrics& metrics() const { return metrics_; }

  /// All that a run needs to go on with the same bits; the experiment's hash is the caller's to add. Handles
  /// share storage with the trainer's tensors.
  Checkpoint state() const;
  /// FormatError when the state does not fit; the trainer is unusable then.
  void restore(const Checkpoint& checkpoint);

  Model& model() const { return parts_.model; }
  Ema* ema() const { return ema_.get(); }
  /// While the result lives, the model is what evaluation sees: averages and re-estimated statistics.
  std::unique_ptr<Evaluated> evaluated() const;
  const Task& task() const { return parts_.task; }
  /// Seconds spent in training steps, and in all, interruptions left out.
  double train_seconds() const { return train_seconds_; }
  double seconds() const;

 private:
  void begin_epoch_if_needed();
  void start_epoch(int64_t first);
  Moment moment() const { return {progress_.step, progress_.total_steps}; }
  Var with_regularizers(const Var& loss) const;
  Tensor differentiate(const Batch& batch) const;
  bool steady() const;
  void settle_figures(bool all);
  [[noreturn]] void diverged(int64_t step, const char* why) const;
  void count_loss(double loss, int64_t samples);
  void count_step(double seconds);
  void check_evaluation(const Metrics& metrics) const;
  void check_fits(const CheckpointState& state, int64_t steps_per_epoch, size_t states) const;
  bool evaluation_due() const;
  bool stop_requested() const;
  void show_metrics_to_schedules();
  std::vector<Schedule*> schedules() const;

  TrainerParts parts_;
  TrainerOptions options_;
  std::unique_ptr<DeviceImages> images_;  // null: the host makes the batches
  Loader loader_;
  std::unique_ptr<Loader> test_loader_;
  std::unique_ptr<Loader> statistics_loader_;  // where batch norms are measured again
  std::unique_ptr<Ema> ema_;
  std::vector<Quantizer*> quantizers_;
  std::vector<ActivationQuantizer*> activations_;
  DeviceStep device_step_;
  Batch batch_;
  Progress progress_;
  Metrics metrics_;
  bool epoch_started_ = false;
  double epoch_loss_sum_ = 0;  // over the epoch's samples
  int64_t epoch_samples_ = 0;  // whose losses are known
  double epoch_seconds_ = 0;   // in this epoch's steps made by this process
  int64_t epoch_timed_samples_ = 0;
  int64_t epoch_timed_steps_ = 0;
  double train_seconds_ = 0;
  double earlier_seconds_ = 0;  // before this trainer was made
  double begin_ = 0;
};

}  // namespace lathe
