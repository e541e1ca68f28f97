#include "core/kernels/elementwise.h"
#include "core/kernels/lstm.h"
#include "core/kernels/lstm_math.h"
#include "core/kernels/matmul.h"
#include "core/kernels/shape.h"
#include "cuda/device.cuh"
#include "cuda/dispatch.h"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

constexpr int64_t kGates = 4;

/// Everything points to sequence 0 at one step; sequences are `*_row` elements apart, those of `sums` 4H.
template <class T>
struct Step {
  T *gates, *h, *c;
  const T *sums, *c_before;  // null: zeros
  int64_t units, gates_row, state_row, before_row;
};

template <class T>
__global__ void forward_step(int64_t count, Step<T> s) {
  for (int64_t i = thread_index(); i < count; i += thread_count()) {
    const int64_t row = i / s.units, unit = i % s.units;
    T* gates = s.gates + row * s.gates_row + unit;
    T sum[kGates];
    for (int p = 0; p < kGates; ++p) {
      const T product = s.sums == nullptr ? T(0) : s.sums[(row * kGates + p) * s.units + unit];
      sum[p] = product + gates[p * s.units];
    }
    const auto open = math::lstm_gates(math::LstmGates<T>{sum[0], sum[1], sum[2], sum[3]});
    const T before = s.c_before == nullptr ? T(0) : s.c_before[row * s.before_row + unit];
    const auto state = math::lstm_state(open, before);
    gates[0] = open.i;
    gates[s.units] = open.f;
    gates[2 * s.units] = open.g;
    gates[3 * s.units] = open.o;
    s.h[row * s.state_row + unit] = state.h;
    s.c[row * s.state_row + unit] = state.c;
  }
}

template <class T>
struct BackwardStep {
  T *dsums, *dense, *dc;           // `dense` (N, 4H): dsums of this step, for the product with the weights
  const T *dh, *dcell, *dh_after;  // null: there is no step behind
  const T *gates, *c, *c_before;
  int64_t units, gates_row, state_row, before_row;
};

template <class T>
__global__ void backward_step(int64_t count, BackwardStep<T> s) {
  for (int64_t i = thread_index(); i < count; i += thread_count()) {
    const int64_t row = i / s.units, unit = i % s.units, at = row * s.state_row + unit, n = s.units;
    const T* gates = s.gates + row * s.gates_row + unit;
    const math::LstmState<T> d{s.dh[at] + (s.dh_after == nullptr ? T(0) : s.dh_after[i]),
                               s.dcell[at] + s.dc[i]};
    const T before = s.c_before == nullptr ? T(0) : s.c_before[row * s.before_row + unit];
    const auto g = math::lstm_backward(d, math::LstmGates<T>{gates[0], gates[n], gates[2 * n], gates[3 * n]},
                                       s.c[at], before);
    const T sums[kGates] = {g.sum.i, g.sum.f, g.sum.g, g.sum.o};
    for (int p = 0; p < kGates; ++p) {
      s.dsums[row * s.gates_row + p * n + unit] = sums[p];
      s.dense[(row * kGates + p) * n + unit] = sums[p];
    }
    s.dc[i] = g.c_before;
  }
}

/// (N, H) of the outputs at time t.
Tensor output_at(const Tensor& states, int64_t t) {
  const int64_t rows = states.dim(1), times = states.dim(2), n = states.dim(3);
  const Tensor h = states.rows(0, 1).view({rows, times, n});
  Tensor out = states.empty_like({rows, 1, n});
  kernels::copy_axis(out, h, {.axis = 1, .count = 1, .x_begin = t});
  return out.view({rows, n});
}

template <class T>
void forward(Tensor& states, Tensor& gates, const Tensor& w, const Tensor& h0, const Tensor& c0,
             bool reverse) {
  const int64_t rows = states.dim(1), times = states.dim(2), n = states.dim(3);
  T *h = states.mut<T>(), *c = h + states.numel() / 2, *g = gates.mut<T>();
  Tensor sums = states.empty_like({rows, kGates * n}), before = h0;
  for (int64_t s = 0; s < times; ++s) {
    const int64_t t = reverse ? times - 1 - s : s, last = reverse ? t + 1 : t - 1;
    if (s > 0) before = output_at(states, last);
    if (before.defined()) kernels::matmul(sums, before, w, Tensor(), {.transpose_b = true});
    const Step<T> step{.gates = g + t * kGates * n,
                       .h = h + t * n,
                       .c = c + t * n,
                       .sums = before.defined() ? sums.ptr<T>() : nullptr,
                       .c_before = s > 0 ? c + last * n : optional_ptr<T>(c0),
                       .units = n,
                       .gates_row = times * kGates * n,
                       .state_row = times * n,
                       .before_row = s > 0 ? times * n : n};
    launch(forward_step<T>, over(rows * n), rows * n, step);
  }
}

template <class T>
void backward(Tensor& dsums, Tensor& dh0, Tensor& dc, const Tensor& dstates, const Tensor& states,
              const Tensor& gates, const Tensor& w, const Tensor& c0, bool reverse) {
  const int64_t rows = states.dim(1), times = states.dim(2), n = states.dim(3), half = states.numel() / 2;
  Tensor dense = states.empty_like({rows, kGates * n}), dh_after = states.empty_like({rows, n});
  const T *c = states.ptr<T>() + half, *dh = dstates.ptr<T>();
  kernels::fill(dc, 0);
  for (int64_t s = times - 1; s >= 0; --s) {
    const int64_t t = reverse ? times - 1 - s : s, before = reverse ? t + 1 : t - 1;
    const bool last = s == times - 1;
    if (!last) kernels::matmul(dh_after, dense, w, Tensor(), {});
    const BackwardStep<T> step{.dsums = dsums.mut<T>() + t * kGates * n,
                               .dense = dense.mut<T>(),
                               .dc = dc.mut<T>(),
                               .dh = dh + t * n,
                               .dcell = dh + half + t * n,
                               .dh_after = last ? nullptr : dh_after.ptr<T>(),
                               .gates = gates.ptr<T>() + t * kGates * n,
                               .c = c + t * n,
                               .c_before = s > 0 ? c + before * n : optional_ptr<T>(c0),
                               .units = n,
                               .gates_row = times * kGates * n,
                               .state_row = times * n,
                               .before_row = s > 0 ? times * n : n};
    launch(backward_step<T>, over(rows * n), rows * n, step);
  }
  if (dh0.defined()) kernels::matmul(dh0, dense, w, Tensor(), {});
}

}  // namespace

void lstm_forward(Tensor& states, Tensor& gates, const Tensor& w, const Tensor& h0, const Tensor& c0,
                  bool reverse) {
  dispatch_floating(states.dtype(), "lstm",
                    [&]<class T>() { forward<T>(states, gates, w, h0, c0, reverse); });
}

void lstm_backward(Tensor& dsums, Tensor& dh0, Tensor& dc0, const Tensor& dstates, const Tensor& states,
                   const Tensor& gates, const Tensor& w, const Tensor& c0, bool reverse) {
  Tensor dc = dc0.defined() ? dc0 : states.empty_like({states.dim(1), states.dim(3)});
  dispatch_floating(states.dtype(), "lstm",
                    [&]<class T>() { backward<T>(dsums, dh0, dc, dstates, states, gates, w, c0, reverse); });
}

}  // namespace lathe::kernels::cuda
