#include "autograd/gradcheck_ops.h"

#include <algorithm>
#include <cmath>

namespace lathe {

bool GradcheckRow::probe(double error) {
  ++probes;
  if (std::isnan(worst) || error <= worst) return false;
  worst = error;
  return true;
}

GradcheckRow gradcheck_case(const OpCase& op_case) {
  GradcheckRow row{.name = op_case.name, .tolerance = op_case.options.tolerance, .message = {}};
  try {
    const GradcheckResult result =
        gradcheck(op_case.apply, make_inputs(op_case, DType::F64), op_case.options);
    const bool differentiable =
        std::any_of(op_case.inputs.begin(), op_case.inputs.end(),
                    [](const CaseInput& input) { return input.requires_grad && input.shape.numel() > 0; });
    row.worst = result.worst;
    row.probes = result.probes;
    row.passed = result.passed && (result.probes > 0 || !differentiable);
    row.message = result.describe();
  } catch (const Error& error) {
    row.message = error.what();
  }
  return row;
}

std::vector<GradcheckRow> gradcheck_ops(std::string_view filter) {
  std::vector<GradcheckRow> rows;
  for (const OpCase& op_case : op_cases()) {
    if (op_case.name.find(filter) != std::string::npos) rows.push_back(gradcheck_case(op_case));
  }
  return rows;
}

}  // namespace lathe
