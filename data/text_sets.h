#pragma once
// The data sets of texts: files of the user's, WikiText, a generated language.

#include <vector>

#include "data/dataset.h"
#include "data/text.h"

namespace lathe {

/// "text", "wikitext" and "prose" of split_registry().
std::vector<SplitRegistry::Entry> text_entries();

}  // namespace lathe
