// Golden activations and elementwise arithmetic.

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "tests/golden/ops.h"

namespace lathe::golden {
namespace {

template <Var (*activation)(const Var&)>
void run_plain(OpRun& run) {
  run.output("y", activation(run.input("x")));
}

void run_leaky_relu(OpRun& run) {
  const double slope = run.real("slope", 0.01);
  run.output("y", leaky_relu(run.input("x"), slope));
}

void run_elu(OpRun& run) {
  const double alpha = run.real("alpha", 1.0);
  run.output("y", elu(run.input("x"), alpha));
}

void run_glu(OpRun& run) {
  const int axis = static_cast<int>(run.integer("dim", -1));
  run.output("y", glu(run.input("x"), axis));
}

void run_add(OpRun& run) {
  const Var a = run.input("a"), b = run.input("b");
  run.output("y", add(a, b));
}

}  // namespace

OpRows activation_rows() {
  return {{"relu", run_plain<relu>},
          {"relu6", run_plain<relu6>},
          {"leaky_relu", run_leaky_relu},
          {"elu", run_elu},
          {"gelu_erf", run_plain<gelu>},
          {"gelu_tanh", run_plain<gelu_tanh>},
          {"silu", run_plain<silu>},
          {"hardswish", run_plain<hardswish>},
          {"hardsigmoid", run_plain<hardsigmoid>},
          {"sigmoid", run_plain<sigmoid>},
          {"tanh", run_plain<lathe::tanh>},
          {"softplus", run_plain<softplus>},
          {"glu", run_glu},
          {"add_broadcast", run_add}};
}

}  // namespace lathe::golden
