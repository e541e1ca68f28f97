#include "core/kernels/lstm.h"

#include <algorithm>

#include "core/cpu/by_type.h"
#include "core/cpu/isa_lstm.h"
#include "core/parallel.h"

namespace lathe::kernels::cpu {
namespace {

namespace isa = lathe::cpu;

constexpr int64_t kGates = 4;

int64_t blocks_of(int64_t units, int64_t width) {
  return (units + width - 1) / width;
}

template <class T>
int64_t lanes() {
  return isa::by_type<T>(isa::lstm_lanes_f32, isa::lstm_lanes_f64)();
}

/// w (4H, H) as blocks of `lanes` units: (block, H, gate, lane).
template <class T>
Tensor forward_panels(const Tensor& w) {
  const int64_t n = w.dim(1), width = lanes<T>(), blocks = blocks_of(n, width);
  Tensor panels = w.empty_like({blocks, n, kGates * width});
  T* to = panels.mut<T>();
  const T* from = w.ptr<T>();
  parallel_for(blocks, 1, [&](int64_t lo, int64_t hi) {
    for (int64_t block = lo; block < hi; ++block) {
      T* panel = to + block * n * kGates * width;
      for (int64_t lane = 0; lane < kGates * width; ++lane) {
        const int64_t gate = lane / width, unit = block * width + lane % width;
        const T* row = from + (gate * n + unit) * n;
        for (int64_t k = 0; k < n; ++k) panel[k * kGates * width + lane] = unit < n ? row[k] : T(0);
      }
    }
  });
  return panels;
}

/// w (4H, H) as blocks of 4 `lanes` columns: (block, 4H, column).
template <class T>
Tensor backward_panels(const Tensor& w) {
  const int64_t n = w.dim(1), width = kGates * lanes<T>(), blocks = blocks_of(n, width);
  Tensor panels = w.empty_like({blocks, kGates * n, width});
  T* to = panels.mut<T>();
  const T* from = w.ptr<T>();
  parallel_for(blocks, 1, [&](int64_t lo, int64_t hi) {
    for (int64_t block = lo; block < hi; ++block) {
      const int64_t first = block * width, count = std::min(width, n - first);
      for (int64_t k = 0; k < kGates * n; ++k) {
        T* row = to + (block * kGates * n + k) * width;
        std::copy_n(from + k * n + first, count, row);
        std::fill(row + count, row + width, T(0));
      }
    }
  });
  return panels;
}

/// Places of the steps: step s of the recurrence is at time at(s).
struct Steps {
  int64_t rows, times, units;
  bool reverse;
  int64_t at(int64_t step) const { return reverse ? times - 1 - step : step; }
};

template <class T>
const T* ptr_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.ptr<T>() : nullptr;
}

template <class T>
void forward(Tensor& states, Tensor& gates, const Tensor& w, const Tensor& h0, const Tensor& c0,
             bool reverse) {
  const Steps steps{states.dim(1), states.dim(2), states.dim(3), reverse};
  const int64_t n = steps.units, blocks = blocks_of(n, lanes<T>());
  const Tensor panels = forward_panels<T>(w);
  T *h = states.mut<T>(), *c = h + states.numel() / 2, *g = gates.mut<T>();
  const auto run = isa::by_type<T>(isa::lstm_forward_f32, isa::lstm_forward_f64);
  for (int64_t s = 0; s < steps.times; ++s) {
    const int64_t t = steps.at(s);
    isa::LstmForwardStep<T> step{.gates = g + t * kGates * n,
                                 .h = h + t * n,
                                 .c = c + t * n,
                                 .h_before = ptr_or_null<T>(h0),
                                 .c_before = ptr_or_null<T>(c0),
                                 .panels = panels.ptr<T>(),
                                 .rows = steps.rows,
                                 .units = n,
                                 .gates_row = steps.times * kGates * n,
                                 .state_row = steps.times * n,
                                 .before_row = n};
    if (s > 0) {
      step.h_before = h + steps.at(s - 1) * n;
      step.c_before = c + steps.at(s - 1) * n;
      step.before_row = step.state_row;
    }
    parallel_for(blocks, 1, [&](int64_t lo, int64_t hi) {
      for (int64_t block = lo; block < hi; ++block) run(step, block);
    });
  }
}

template <class T>
void backward(Tensor& dsums, Tensor& dh0, Tensor& dc, const Tensor& dstates, const Tensor& states,
              const Tensor& gates, const Tensor& w, const Tensor& c0, bool reverse) {
  const Steps steps{states.dim(1), states.dim(2), states.dim(3), reverse};
  const int64_t n = steps.units, blocks = blocks_of(n, kGates * lanes<T>()), half = states.numel() / 2;
  const Tensor panels = backward_panels<T>(w);
  const T *c = states.ptr<T>() + half, *dh = dstates.ptr<T>(), *g = gates.ptr<T>();
  T* to = dsums.mut<T>();
  std::fill_n(dc.mut<T>(), dc.numel(), T(0));
  isa::LstmBackwardStep<T> step{.dc = dc.mut<T>(),
                                .panels = panels.ptr<T>(),
                                .rows = steps.rows,
                                .units = n,
                                .gates_row = steps.times * kGates * n,
                                .state_row = steps.times * n};
  const auto run = isa::by_type<T>(isa::lstm_backward_f32, isa::lstm_backward_f64);
  const auto over_blocks = [&] {
    parallel_for(blocks, 1, [&](int64_t lo, int64_t hi) {
      for (int64_t block = lo; block < hi; ++block) run(step, block);
    });
  };
  for (int64_t s = steps.times - 1; s >= 0; --s) {
    const int64_t t = steps.at(s);
    step.dsums_after = step.dsums;
    step.dsums = to + t * kGates * n;
    step.dh = dh + t * n;
    step.dcell = dh + half + t * n;
    step.gates = g + t * kGates * n;
    step.c = c + t * n;
    step.c_before = s > 0 ? c + steps.at(s - 1) * n : ptr_or_null<T>(c0);
    step.before_row = s > 0 ? step.state_row : n;
    over_blocks();
  }
  if (!dh0.defined()) return;
  step.dsums_after = step.dsums;
  step.dsums = nullptr;
  step.dh_out = dh0.mut<T>();
  over_blocks();
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

}  // namespace lathe::kernels::cpu
