#pragma once
// Runs golden model files (schema "model-golden-v1") through the registry.

#include <filesystem>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "tests/golden/result.h"

namespace lathe::golden {

struct ModelGoldenOptions {
  std::string filter = {};  ///< only files whose name contains it
  std::vector<DType> dtypes = {DType::F64, DType::F32};
};

/// Every *.json of `folder`, in order of names. A model that the registry lacks, an input or a loss that no
/// task here makes, or another schema is reported as unsupported; a malformed file as failed.
std::vector<GoldenResult> run_model_goldens(const std::filesystem::path& folder,
                                            const ModelGoldenOptions& options = {});
/// The same with defaults and `filter`.
std::vector<GoldenResult> run_model_goldens(const std::filesystem::path& folder, const std::string& filter);
/// One file, whatever the filter.
std::vector<GoldenResult> run_model_golden(const std::filesystem::path& file,
                                           const ModelGoldenOptions& options = {});

}  // namespace lathe::golden
