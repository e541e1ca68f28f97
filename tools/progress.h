#pragma once
// One line of progress on stderr: redrawn at most ten times a second on a terminal, a line per 30 s
// otherwise.

#include <set>
#include <string>

#include "train/hooks.h"

namespace lathe::cli {

class TerminalProgress : public TrainObserver {
 public:
  TerminalProgress();
  ~TerminalProgress() override;

  void on_step(const Progress& progress) override;
  void on_evaluation(const Progress& progress, const EvaluationResult& result) override;
  void on_message(std::string_view message) override;

 private:
  void draw(const std::string& line);
  void print(const std::string& line);  ///< above the progress line

  std::string compression_;          ///< of the latest evaluation, for the progress line
  std::set<std::string> warned_of_;  ///< parameters; a warning is shown once
  bool terminal_;
  bool colour_;
  double last_ = 0;  ///< when the line was drawn, in seconds
  bool drawn_ = false;
};

}  // namespace lathe::cli
