#include "core/cpu/isa/vec.h"
#include "core/cpu/isa_lstm.h"
#include "core/kernels/lstm_math.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

using math::LstmGates;
using math::LstmState;

constexpr int kParts = 4;                           // vectors of a panel's row
constexpr int64_t kRows = kVecBytes == 64 ? 4 : 2;  // sequences at once: their sums stay in registers

/// sums[r][p] = sum over k of a[r * stride + k] * panel[k][p]; kept in the order of k.
template <class T, int64_t R>
void product(T (*sums)[kParts][kLanes<T>], const T* a, int64_t stride, const T* panel, int64_t terms) {
  Vec<T> acc[R][kParts] = {};
  for (int64_t k = 0; k < terms; ++k) {
    Vec<T> w[kParts];
    for (int p = 0; p < kParts; ++p) w[p] = load(panel + (k * kParts + p) * kLanes<T>);
    for (int64_t r = 0; r < R; ++r) {
      const T value = a[r * stride + k];
      for (int p = 0; p < kParts; ++p) acc[r][p] += value * w[p];
    }
  }
  for (int64_t r = 0; r < R; ++r) {
    for (int p = 0; p < kParts; ++p) store(sums[r][p], acc[r][p]);
  }
}

/// The same for `rows` <= kRows; zeros without `a`.
template <class T>
void products(T (*sums)[kParts][kLanes<T>], const T* a, int64_t rows, int64_t stride, const T* panel,
              int64_t terms) {
  if (a == nullptr) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int p = 0; p < kParts; ++p) store(sums[r][p], splat(T{0}));
    }
  } else if (rows == kRows) {
    product<T, kRows>(sums, a, stride, panel, terms);
  } else {
    for (int64_t r = 0; r < rows; ++r) product<T, 1>(sums + r, a + r * stride, stride, panel, terms);
  }
}

/// Units [first, first + count) of one sequence.
template <class T>
void forward_units(const LstmForwardStep<T>& s, int64_t row, const T (*sums)[kLanes<T>], int64_t first,
                   int64_t count) {
  T* gates = s.gates + row * s.gates_row + first;
  const int64_t n = s.units;
  T h[kLanes<T>], c[kLanes<T>], g[kParts][kLanes<T>], before[kLanes<T>] = {};
  for (int p = 0; p < kParts; ++p) {
    for (int64_t l = 0; l < kLanes<T>; ++l) g[p][l] = sums[p][l];
    for (int64_t l = 0; l < count; ++l) g[p][l] += gates[p * n + l];
  }
  if (s.c_before != nullptr) {
    for (int64_t l = 0; l < count; ++l) before[l] = s.c_before[row * s.before_row + first + l];
  }
  for (int64_t l = 0; l < kLanes<T>; ++l) {
    const auto open = math::lstm_gates(LstmGates<T>{g[0][l], g[1][l], g[2][l], g[3][l]});
    const auto state = math::lstm_state(open, before[l]);
    g[0][l] = open.i;
    g[1][l] = open.f;
    g[2][l] = open.g;
    g[3][l] = open.o;
    h[l] = state.h;
    c[l] = state.c;
  }
  for (int64_t l = 0; l < count; ++l) {
    for (int p = 0; p < kParts; ++p) gates[p * n + l] = g[p][l];
    s.h[row * s.state_row + first + l] = h[l];
    s.c[row * s.state_row + first + l] = c[l];
  }
}

template <class T>
void forward(const LstmForwardStep<T>& s, int64_t block) {
  const int64_t first = block * kLanes<T>;
  const int64_t count = s.units - first < kLanes<T> ? s.units - first : kLanes<T>;
  const T* panel = s.panels + block * s.units * kParts * kLanes<T>;
  for (int64_t row = 0; row < s.rows; row += kRows) {
    const int64_t rows = s.rows - row < kRows ? s.rows - row : kRows;
    T sums[kRows][kParts][kLanes<T>];
    const T* a = s.h_before == nullptr ? nullptr : s.h_before + row * s.before_row;
    products<T>(sums, a, rows, s.before_row, panel, s.units);
    for (int64_t r = 0; r < rows; ++r) forward_units<T>(s, row + r, sums[r], first, count);
  }
}

/// Units [first, first + count) of one sequence; dh_after is what the step behind gives to their outputs.
template <class T>
void backward_units(const LstmBackwardStep<T>& s, int64_t row, const T* dh_after, int64_t first,
                    int64_t count) {
  const int64_t n = s.units, at = row * s.state_row + first;
  const T* gates = s.gates + row * s.gates_row + first;
  T *to = s.dsums + row * s.gates_row + first, *dc = s.dc + row * n + first;
  const T* before = s.c_before == nullptr ? nullptr : s.c_before + row * s.before_row + first;
  for (int64_t l = 0; l < count; ++l) {
    const LstmState<T> d{s.dh[at + l] + dh_after[l], s.dcell[at + l] + dc[l]};
    const auto g =
        math::lstm_backward(d, LstmGates<T>{gates[l], gates[n + l], gates[2 * n + l], gates[3 * n + l]},
                            s.c[at + l], before == nullptr ? T(0) : before[l]);
    to[l] = g.sum.i;
    to[n + l] = g.sum.f;
    to[2 * n + l] = g.sum.g;
    to[3 * n + l] = g.sum.o;
    dc[l] = g.c_before;
  }
}

template <class T>
void backward(const LstmBackwardStep<T>& s, int64_t block) {
  constexpr int64_t kUnits = kParts * kLanes<T>;
  const int64_t first = block * kUnits, terms = kParts * s.units;
  const int64_t count = s.units - first < kUnits ? s.units - first : kUnits;
  const T* panel = s.panels + block * terms * kUnits;
  for (int64_t row = 0; row < s.rows; row += kRows) {
    const int64_t rows = s.rows - row < kRows ? s.rows - row : kRows;
    T sums[kRows][kParts][kLanes<T>];
    const T* a = s.dsums_after == nullptr ? nullptr : s.dsums_after + row * s.gates_row;
    products<T>(sums, a, rows, s.gates_row, panel, terms);
    for (int64_t r = 0; r < rows; ++r) {
      const T* dh = &sums[r][0][0];
      if (s.dsums != nullptr) {
        backward_units<T>(s, row + r, dh, first, count);
      } else {
        for (int64_t l = 0; l < count; ++l) s.dh_out[(row + r) * s.units + first + l] = dh[l];
      }
    }
  }
}

}  // namespace

int64_t lstm_lanes_f32() {
  return kLanes<float>;
}
int64_t lstm_lanes_f64() {
  return kLanes<double>;
}
void lstm_forward_f32(const LstmForwardStep<float>& step, int64_t block) {
  forward(step, block);
}
void lstm_forward_f64(const LstmForwardStep<double>& step, int64_t block) {
  forward(step, block);
}
void lstm_backward_f32(const LstmBackwardStep<float>& step, int64_t block) {
  backward(step, block);
}
void lstm_backward_f64(const LstmBackwardStep<double>& step, int64_t block) {
  backward(step, block);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
