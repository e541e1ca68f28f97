#pragma once
// A whole training run in its folder: begun, resumed, recorded.

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "train/config/experiment.h"
#include "train/hooks.h"

namespace lathe {

struct RunRequest {
  std::filesystem::path folder;  ///< empty: runs/NAME
  std::string experiment_text;   ///< the experiment file as given; empty: its resolved form
  bool resume = false;           ///< go on from the newest checkpoint, or from the start when there is none
  /// Called once with the fresh model of a new run: fine-tuning loads its weights here.
  std::function<void(Model&)> initialise;
  std::string init =
      {};  ///< what `initialise` loads; if a run, its float metric becomes the summary's float_value
  std::vector<TrainObserver*> observers;
  const std::atomic<bool>* stop = nullptr;           ///< set: save a checkpoint after the step and throw
  std::string how_to_go_on = "go on with --resume";  ///< what the user is told then
};

/// Trains an experiment in its folder, to the end. The folder then holds everything that reproduces the run
/// (experiment.json, resolved.json, environment.json), metrics.jsonl, train.log, status.json, summary.json
/// and the newest checkpoints. Returns summary.json.
///
/// A resumed run continues with the same bits, and its metrics.jsonl equals that of a run that was never
/// interrupted, times aside. ConfigError when the folder holds a run and `resume` is not set, or when the
/// experiment is another one (train/config/identity.h says what may differ), DataError when the data changed;
/// InterruptedError when stopped (the state is saved); DivergedError; IoError when the disk is full or may
/// not be written: earlier checkpoints stay intact. status.json tells the last three apart.
Value run_experiment(const Experiment& experiment, const RunRequest& request);

}  // namespace lathe
