#include "autograd/ops/softmax.h"

#include "core/kernels/softmax.h"

namespace lathe {
namespace {

Var any_softmax(const char* op, const Var& x, const SoftmaxOptions& options) {
  x.shape().axis(options.axis);  // ShapeError out of range
  Tensor y = x.data().empty_like();
  kernels::softmax_forward(y, x.data(), options);
  return record(op, y, {x}, Saved{y},
                [options](Backward& b) { kernels::softmax_backward(b.dx(0), b.dy(), b.saved(0), options); });
}

}  // namespace

Var softmax(const Var& x, int axis) {
  return any_softmax("softmax", x, {.axis = axis, .log = false});
}

Var log_softmax(const Var& x, int axis) {
  return any_softmax("log_softmax", x, {.axis = axis, .log = true});
}

}  // namespace lathe
