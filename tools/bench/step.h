#pragma once
// A whole training step: forward, loss, backward, update, on random data.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tools/bench/training.h"

namespace lathe::bench {

/// A graph that is timed. The named ones are those of a peer's script (tools/bench-vs-pytorch), number for
/// number: ResNet-20 and ResNet-18 for CIFAR, MobileNetV1, a vision transformer on patches of 4 pixels, a
/// decoder of 4 layers whose head is not tied. They learn with SGD (0.1, momentum 0.9, decay 5e-4) or Adam.
struct StepCase {
  std::string model;            ///< "resnet20", as the peer calls it, or a model of the registry
  TrainingCase training = {};   ///< without quantizers
  bool whole_model = false;     ///< the peer quantizes every weight, not only tensors of 2,622 and more
  int64_t peer_parameters = 0;  ///< 0: not known
};

struct StepOptions {
  std::vector<std::string> models = {};  ///< none: every named case
  std::optional<int64_t> batch = {};     ///< instead of the case's own
  std::vector<std::string> quants = {"none"};
  int64_t steps = 8;  ///< timed, after some that warm up, until one asks the system for no memory
};

struct StepRow {
  std::string quant;
  int64_t parameters = 0;  ///< elements, without quantizers' own
  double ms_best = 0, ms_median = 0;
  double samples_per_second_best = 0, samples_per_second = 0;  ///< of the best step, of the median
  double ratio = 0;                                            ///< median of step / float's step; 0: no float
  double share_of_peak = 0;  ///< 6 x multiply-accumulates forward, of the median; Winograd may exceed 1
  uint64_t system_allocations = 0;  ///< of tensor memory, in the timed steps of all quantizers
  double tensor_mib = 0;            ///< peak of tensor memory in a step, parameters included
  double first_step_seconds = 0;    ///< since the process began; 0 unless it had nothing else to do
  double peak_rss_mib = 0;          ///< likewise
  double loss = 0;                  ///< of the last step, so that the work cannot be optimised away unseen
};

/// none diffq codeq lsq qat: DiffQ in groups of 8, the others at 4 bits.
std::vector<std::string> step_quants();

/// ConfigError for a name that is neither a case nor a model.
std::vector<StepCase> step_cases(const StepOptions& options);

/// The case with each quantizer, round by round (none, diffq, ..., none, ...), so that all meet the same
/// machine. `alone`: the process does nothing else, so its memory and start are this case's.
std::vector<StepRow> time_step_case(const StepCase& one, const StepOptions& options, bool alone);

}  // namespace lathe::bench
