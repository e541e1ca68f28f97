#pragma once
#include <string>
#include <vector>

#include "train/config/experiment.h"
#include "train/hooks.h"
#include "train/metrics.h"
#include "train/run_folder.h"

namespace lathe {

/// Writes a run's events, log, status and checkpoints while it trains.
class RunRecorder : public TrainObserver {
 public:
  struct Options {
    OutputOptions output;
    std::string experiment;              ///< its hash, for checkpoints
    int64_t first_step = 0;              ///< where the run goes on; events of later steps are dropped
    std::vector<TrainObserver*> others;  ///< are told of checkpoints
  };
  RunRecorder(const RunFolder& folder, Options options);

  void on_epoch(const Progress& progress) override;
  void on_evaluation(const Progress& progress, const EvaluationResult& result) override;
  void on_settled(const Progress& progress, const Trainer& trainer) override;

 private:
  const RunFolder& folder_;
  Options options_;
  MetricsLog metrics_;
};

}  // namespace lathe
