#include "autograd/ops/random.h"

#include "core/kernels/random.h"

namespace lathe {

Var dropout(const Var& x, double p, const Philox& philox, uint64_t first) {
  LATHE_CHECK(ConfigError, p >= 0 && p < 1, "dropout: p is ", p, ", expected 0 <= p < 1");
  if (p == 0) return x;
  Tensor y = x.data().empty_like();
  kernels::dropout(y, x.data(), p, philox, first);
  return record("dropout", std::move(y), {x}, {},
                [p, philox, first](Backward& b) { kernels::dropout(b.dx(0), b.dy(), p, philox, first); });
}

Var drop_path(const Var& x, double p, const Philox& philox, uint64_t first) {
  LATHE_CHECK(ConfigError, p >= 0 && p < 1, "drop_path: p is ", p, ", expected 0 <= p < 1");
  LATHE_CHECK(ShapeError, x.shape().rank() >= 1, "drop_path: a scalar has no samples");
  if (p == 0) return x;
  Tensor y = x.data().empty_like();
  kernels::drop_path(y, x.data(), p, philox, first);
  return record("drop_path", std::move(y), {x}, {},
                [p, philox, first](Backward& b) { kernels::drop_path(b.dx(0), b.dy(), p, philox, first); });
}

}  // namespace lathe
