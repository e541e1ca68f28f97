#pragma once
// Runs golden quantizer files: each has sections of its own, known by the file's name.

#include <filesystem>
#include <vector>

#include "tests/golden/result.h"

namespace lathe::golden {

/// Every *.json of `folder`, in order of names, in float64. A section that the library has no counterpart
/// for, or a file of an unknown name, is reported as unsupported; a malformed file as failed.
std::vector<GoldenResult> run_quant_goldens(const std::filesystem::path& folder);
/// Whether a file's name is one of a golden quantizer file.
bool is_quant_golden(const std::filesystem::path& file);
std::vector<GoldenResult> run_quant_golden(const std::filesystem::path& file);

}  // namespace lathe::golden
