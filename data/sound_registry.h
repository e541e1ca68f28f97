#pragma once
#include <vector>

#include "data/dataset.h"

namespace lathe {

/// "musdb" and "tones", for the table of registry.cpp.
std::vector<SplitRegistry::Entry> sound_entries();

}  // namespace lathe
