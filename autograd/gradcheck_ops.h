#pragma once
// Gradcheck over the table of op cases: `lathe gradcheck`.

#include <string>
#include <string_view>
#include <vector>

#include "autograd/op_cases.h"

namespace lathe {

struct GradcheckRow {
  std::string name;      ///< of the case
  double worst = 0;      ///< largest relative error
  double tolerance = 0;  ///< what is allowed
  int64_t probes = 0;    ///< elements differentiated numerically
  bool passed = false;
  std::string message;  ///< where the worst element stood, or the error that stopped the case

  /// Counts a probe; true where its error is the worst so far. A NaN is, and stays it.
  bool probe(double error);
};

/// Checks one case. A case that throws, or probes nothing although there are elements to probe, fails.
GradcheckRow gradcheck_case(const OpCase& op_case);

/// Every case whose name contains `filter`, in the table's order; empty if none does.
std::vector<GradcheckRow> gradcheck_ops(std::string_view filter = "");

}  // namespace lathe
