#pragma once
// The table of quantizers' cases: a row gets the gradient check of `lathe gradcheck quant` and the laws over
// ops.

#include <functional>
#include <vector>

#include "autograd/gradcheck_ops.h"
#include "quant/math/frozen.h"

namespace lathe {

using FrozenTensors = std::vector<std::vector<quant::Frozen>>;

struct QuantCase {
  OpCase op;  ///< its name begins with "quant "
  /// The same value from the formulas of quant/math/, with every rounding, clip and sign frozen: what numeric
  /// differences are taken of (methods.md section 15.2). Empty: of the op itself, which is smooth.
  std::function<std::vector<quant::Frozen>(const FrozenTensors& inputs)> surrogate = {};
  /// The op's gradient of input i is this times the surrogate's (LSQ's gradient scale); missing ones are 1.
  std::vector<double> factors = {};
};

const std::vector<QuantCase>& quant_cases();
/// The rows about whole networks, which quant_cases() ends with.
std::vector<QuantCase> chain_cases();

/// CoDeQ's amplitude as the formulas have it: the 0.99-quantile of |w|.
quant::Frozen codeq_amplitude(const std::vector<quant::Frozen>& w);

/// Fails also where the surrogate's value is not the op's.
GradcheckRow gradcheck_case(const QuantCase& quant_case);
/// Checks that are no difference of one op (methods.md section 15.6): DiffQ's gradient for its bits, averaged
/// over draws of the noise.
std::vector<GradcheckRow> gradcheck_protocols(std::string_view filter = "");
/// Every case whose name contains `filter`, in the table's order, then the protocols.
std::vector<GradcheckRow> gradcheck_quant(std::string_view filter = "");

}  // namespace lathe
