#pragma once
// `lathe run` of a language model.

#include <string>
#include <vector>

#include "tools/commands.h"
#include "train/continue_text.h"

namespace lathe::cli {

/// Prints each prompt and, token by token, what follows it.
int run_text(const Session& session, SavedRun model, const std::vector<std::string>& prompts,
             const ContinueOptions& options);

}  // namespace lathe::cli
