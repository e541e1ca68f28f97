#pragma once
// One line of progress on stderr: redrawn at most ten times a second on a terminal and never wider than it, a
// line per 30 s otherwise.

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "train/hooks.h"

namespace lathe::cli {

/// What a training rate counts, by the task's metric: "img/s" for classes of images, else "samples/s".
std::string_view rate_unit(std::string_view metric);

class TerminalProgress : public TrainObserver {
 public:
  TerminalProgress();
  ~TerminalProgress() override;

  void on_step(const Progress& progress) override;
  void on_evaluation(const Progress& progress, const EvaluationResult& result) override;
  void on_settled(const Progress& progress, const Trainer& trainer) override;
  void on_message(std::string_view message) override;

 private:
  void draw(const Progress& progress);
  void print(const std::string& line);  ///< above the progress line

  std::vector<std::string> compression_;  ///< of the latest evaluation, for the progress line
  std::string_view unit_ = rate_unit({});
  std::set<std::string> warned_of_;  ///< parameters; a warning is shown once
  bool terminal_;
  bool colour_;
  double last_ = 0;  ///< when the line was drawn, in seconds
  bool drawn_ = false;
};

}  // namespace lathe::cli
