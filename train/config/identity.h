#pragma once
// When is an experiment the same one? A resumed run continues what was begun, or is refused.

#include <filesystem>
#include <string>
#include <vector>

#include "core/value.h"

namespace lathe {

/// Hash of a resolved experiment without what may differ between the parts of one run: `name`, `threads`,
/// `device`, `output`, `data.root`, `data.cache_mib`, `train.cuda_graph`, `train.device_augment`. None of
/// them changes what a step computes on given hardware; the samples themselves have a hash of their own.
/// Everything else counts, `train.epochs` too, because schedules depend on it. The order of keys does not
/// matter.
std::string experiment_hash(const Value& resolved);

/// Paths that count and differ: "train.epochs: 10 before, 20 now".
std::vector<std::string> changed_keys(const Value& before, const Value& now);

/// ConfigError naming the run's folder and the changed keys unless both resolved experiments have the same
/// hash.
void check_same_experiment(const Value& before, const Value& now, const std::filesystem::path& run);

}  // namespace lathe
