// Golden optimizers and what surrounds them.

#include "tests/golden/ops.h"

namespace lathe::golden {

OpRows train_rows() {
  return {{"sgd", nullptr, "no optimizers"},
          {"adam", nullptr, "no optimizers"},
          {"adamw", nullptr, "no optimizers"},
          {"clip_grad_norm", nullptr, "no gradient clipping"},
          {"ema", nullptr, "no moving averages"}};
}

}  // namespace lathe::golden
