#pragma once
// The table of golden ops: one row per `op` of the files, family by family.

#include <string>
#include <string_view>
#include <vector>

#include "tests/golden/op_run.h"

namespace lathe::golden {

struct OpRow {
  std::string_view op;
  /// Feeds the inputs to the library and hands over the outputs; null: the library does not have the op.
  void (*run)(OpRun& run);
  std::string_view missing = "";  ///< why, where `run` is null
};

using OpRows = std::vector<OpRow>;
OpRows conv_rows();
OpRows matmul_rows();
OpRows norm_rows();
OpRows activation_rows();
OpRows loss_rows();
OpRows attention_rows();
OpRows pool_rows();
OpRows shape_rows();
OpRows random_rows();
OpRows sound_rows();
OpRows train_rows();
OpRows language_rows();

/// Null for an op that no row names.
const OpRow* find_op(std::string_view op);

}  // namespace lathe::golden
