// Golden matrix products and embeddings.

#include "autograd/ops/embedding.h"
#include "autograd/ops/matmul.h"
#include "tests/golden/ops.h"

namespace lathe::golden {
namespace {

void run_linear(OpRun& run) {
  const Var x = run.input("x"), w = run.input("weight"), bias = run.optional("bias");
  run.output("y", linear(x, w, bias));
}

void run_matmul(OpRun& run) {
  const Var a = run.input("a"), b = run.input("b");
  run.output("y", matmul(a, b));
}

void run_embedding(OpRun& run) {
  // A null padding index means that no row is padding.
  const bool padded = run.has_attr("padding_idx") && !run.is_null("padding_idx");
  const int64_t padding = padded ? run.integer("padding_idx") : -1;
  run.output("y", embedding(run.input("weight"), run.indices("idx"), padding));
}

}  // namespace

OpRows matmul_rows() {
  return {{"linear", run_linear}, {"matmul", run_matmul}, {"bmm", run_matmul}, {"embedding", run_embedding}};
}

}  // namespace lathe::golden
