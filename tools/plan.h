#pragma once
// What a run would do, without doing it.

#include "tools/commands.h"
#include "train/config/experiment.h"
#include "train/model_info.h"

namespace lathe::cli {

/// Prints parameters and layers of a model as tables.
void print_model(const ModelInfo& info);

/// Builds everything an experiment names, prints the plan, trains nothing. Returns an ExitCode.
int print_plan(const Session& session, const Experiment& experiment);

}  // namespace lathe::cli
