#pragma once

#include "tools/bench/harness.h"

namespace lathe::bench {

/// Matrix products of transformers, of convolutions made products, and squares; then attention. Rows whose
/// name contains `filter`, about `seconds` each.
std::vector<Row> bench_gemm(const std::string& filter, double seconds);

}  // namespace lathe::bench
