#pragma once
// `lathe_tests --golden DIR`: every golden file of a folder against the library.

#include <filesystem>
#include <iosfwd>
#include <vector>

#include "tests/golden/op_file.h"
#include "tests/golden/result.h"

namespace lathe::golden {

/// Every check of one op file, in float64 and in float32. A malformed file is one failed result; an op or a
/// variant that the library lacks is one unsupported result that says which.
std::vector<GoldenResult> run_op_file(const std::filesystem::path& path);
std::vector<GoldenResult> run_op(const OpFile& file);
/// Every .json file of a folder but `_index.json`, in the order of their names.
std::vector<GoldenResult> run_op_goldens(const std::filesystem::path& folder);

/// Runs the folders ops, models, quant and metrics of `dir` and the files that lie in `dir` itself. Prints a
/// line for each file that did not pass and a summary. 1 if anything failed or there was nothing to run, else
/// 0.
int run_goldens(const std::filesystem::path& dir, std::ostream& out);

}  // namespace lathe::golden
