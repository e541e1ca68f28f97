#include "autograd/ops/lstm.h"

#include "autograd/ops/optional.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/linear.h"
#include "core/kernels/lstm.h"
#include "core/kernels/matmul.h"
#include "core/kernels/shape.h"

namespace lathe {
namespace {

constexpr int64_t kGates = 4;

void check(const Var& x, const LstmWeights& w, const LstmOptions& options) {
  LATHE_CHECK(ShapeError, x.shape().rank() == 3 && x.dim(1) >= 1, "lstm: input is ", x.shape(),
              ", expected (N, T, features) with T of at least 1");
  const int64_t in = x.dim(2);
  LATHE_CHECK(ShapeError, w.recurrent.shape().rank() == 2, "lstm: recurrent weight is ", w.recurrent.shape(),
              ", expected (4H, H)");
  const int64_t n = w.recurrent.dim(1);
  const auto expect = [&](const char* what, const Var& v, const Shape& shape) {
    if (!v.defined()) return;
    LATHE_CHECK(ShapeError, v.shape() == shape, "lstm: ", what, " is ", v.shape(), ", expected ", shape);
    LATHE_CHECK(DTypeError, v.dtype() == x.dtype(), "lstm: input is ", x.dtype(), ", ", what, " ", v.dtype());
  };
  expect("recurrent weight", w.recurrent, {kGates * n, n});
  expect("input weight", w.input, {kGates * n, in});
  expect("input bias", w.input_bias, {kGates * n});
  expect("recurrent bias", w.recurrent_bias, {kGates * n});
  LATHE_CHECK(ShapeError, w.input_bias.defined() == w.recurrent_bias.defined(),
              "lstm: one of the two biases is missing");
  expect("first output", options.h0, {x.dim(0), n});
  expect("first cell", options.c0, {x.dim(0), n});
}

/// Outputs one step earlier, those before the first step in front: what the recurrent weights multiplied.
Tensor outputs_before(const Tensor& states, const Tensor& h0, bool reverse) {
  const int64_t rows = states.dim(1), times = states.dim(2), n = states.dim(3);
  const Tensor h = states.rows(0, 1).view({rows, times, n});
  const Tensor first = h0.defined() ? h0 : Tensor::zeros({rows, n}, h.dtype(), h.device());
  Tensor before = h.empty_like();
  kernels::copy_axis(before, h,
                     {.axis = 1, .count = times - 1, .y_begin = reverse ? 0 : 1, .x_begin = reverse ? 1 : 0});
  kernels::copy_axis(before, first.view({rows, 1, n}),
                     {.axis = 1, .count = 1, .y_begin = reverse ? times - 1 : 0});
  return before;
}

enum Input { kX, kInput, kRecurrent, kInputBias, kRecurrentBias, kH0, kC0 };
enum SavedTensor { kSavedX, kSavedInput, kSavedRecurrent, kSavedStates, kSavedGates, kSavedH0, kSavedC0 };

void backward_rule(Backward& b, bool reverse) {
  const Tensor &x = b.saved(kSavedX), &states = b.saved(kSavedStates), &gates = b.saved(kSavedGates);
  const int64_t steps = gates.dim(0) * gates.dim(1), sums = gates.dim(2), n = sums / kGates, in = x.dim(2);
  Tensor dsums = gates.empty_like(), none;
  kernels::lstm_backward(dsums, b.wants(kH0) ? b.dx(kH0) : none, b.wants(kC0) ? b.dx(kC0) : none, b.dy(),
                         states, gates, b.saved(kSavedRecurrent), b.saved(kSavedC0), reverse);
  const Tensor rows = dsums.view({steps, sums});
  if (b.wants(kX)) {
    Tensor dx = b.dx(kX).view({steps, in}), no_gelu;
    kernels::linear_input_gradient(dx, no_gelu, rows, b.saved(kSavedInput), Tensor(), false);
  }
  if (b.wants(kInput)) kernels::linear_weight_gradient(b.dx(kInput), none, rows, x.view({steps, in}));
  if (b.wants(kRecurrent)) {
    const Tensor before = outputs_before(states, b.saved(kSavedH0), reverse);
    kernels::linear_weight_gradient(b.dx(kRecurrent), none, rows, before.view({steps, n}));
  }
  // One sum for both biases: the tape copies what gradients share.
  const bool both = b.wants(kInputBias) && b.wants(kRecurrentBias);
  if (b.wants(kInputBias)) kernels::column_sum(b.dx(kInputBias), rows);
  if (both) b.pass(kRecurrentBias, b.dx(kInputBias));
  if (b.wants(kRecurrentBias) && !both) kernels::column_sum(b.dx(kRecurrentBias), rows);
}

}  // namespace

Var lstm(const Var& x, const LstmWeights& w, const LstmOptions& options) {
  check(x, w, options);
  const int64_t rows = x.dim(0), times = x.dim(1), in = x.dim(2), n = w.recurrent.dim(1);
  Tensor gates = x.data().empty_like({rows, times, kGates * n});
  Tensor states = x.data().empty_like({2, rows, times, n}), bias;
  if (w.input_bias.defined()) {
    bias = w.input_bias.data().empty_like();
    kernels::binary(bias, w.input_bias.data(), w.recurrent_bias.data(), BinaryOp::Add);
  }
  Tensor sums = gates.view({rows * times, kGates * n});
  kernels::linear_forward(sums, x.data().view({rows * times, in}), w.input.data(), bias, Tensor(), false);
  kernels::lstm_forward(states, gates, w.recurrent.data(), data_or_none(options.h0), data_or_none(options.c0),
                        options.reverse);
  const OpInfo info{.macs = rows * times * kGates * n * (in + n)};
  return record(
      "lstm", states, {x, w.input, w.recurrent, w.input_bias, w.recurrent_bias, options.h0, options.c0},
      Saved{x.data(), w.input.data(), w.recurrent.data(), states, gates, data_or_none(options.h0),
            data_or_none(options.c0)},
      [reverse = options.reverse](Backward& b) { backward_rule(b, reverse); }, info);
}

}  // namespace lathe
