#pragma once
#include "tools/bench/step.h"
#include "tools/commands.h"

namespace lathe::cli {

/// `lathe bench step`: times the cases and prints a row for each, and each quantizer. Returns an ExitCode.
int bench_step(const Session& session, const bench::StepOptions& options);

}  // namespace lathe::cli
