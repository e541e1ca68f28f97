#include "tests/golden/ops.h"

#include <algorithm>

namespace lathe::golden {
namespace {

OpRows all_rows() {
  OpRows rows;
  for (const auto& family :
       {conv_rows(), matmul_rows(), norm_rows(), activation_rows(), loss_rows(), attention_rows(),
        pool_rows(), shape_rows(), random_rows(), sound_rows(), train_rows(), language_rows()})
    rows.insert(rows.end(), family.begin(), family.end());
  return rows;
}

}  // namespace

const OpRow* find_op(std::string_view op) {
  static const OpRows rows = all_rows();
  const auto it = std::find_if(rows.begin(), rows.end(), [&](const OpRow& row) { return row.op == op; });
  return it == rows.end() ? nullptr : &*it;
}

}  // namespace lathe::golden
