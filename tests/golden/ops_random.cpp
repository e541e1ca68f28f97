// Golden regularisation noise, where the file gives the noise or there is none.

#include <cmath>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/random.h"
#include "tests/golden/ops.h"

namespace lathe::golden {
namespace {

// In evaluation dropout is the identity, whatever p is.
void run_dropout(OpRun& run) {
  const Var x = run.input("x");
  const double p = run.boolean("training", true) ? run.real("p") : 0.0 * run.real("p");
  if (p > 0) throw Unsupported("dropout whose mask the file does not give");
  run.output("y", dropout(x, p, Philox{}));
}

void run_masked_dropout(OpRun& run) {
  const Var mask(run.constant("mask"));
  run.output("y", scale(mul(run.input("x"), mask), 1 / (1 - run.real("p"))));
}

void run_masked_drop_path(OpRun& run) {
  const Var x = run.input("x");
  const double keep = 1 - run.real("p");
  const Tensor u = run.constant("u").to(DType::F64);
  Shape per_sample = x.shape();
  for (int i = 1; i < per_sample.rank(); ++i) per_sample = per_sample.with(i, 1);
  Tensor factor = Tensor::empty(per_sample, DType::F64);
  for (int64_t i = 0; i < u.numel(); ++i)
    factor.mut<double>()[i] = std::floor(keep + u.ptr<double>()[i]) / keep;
  run.output("y", mul(x, Var(factor.to(run.dtype()))));
}

}  // namespace

OpRows random_rows() {
  return {{"dropout", run_dropout},
          {"dropout_masked", run_masked_dropout},
          {"drop_path_masked", run_masked_drop_path}};
}

}  // namespace lathe::golden
