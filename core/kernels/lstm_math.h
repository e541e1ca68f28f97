#pragma once
// One unit of a long short-term memory at one step (Hochreiter & Schmidhuber 1997, with the forget gate of
// Gers et al. 2000), and its derivative. Gates stand in the order input, forget, cell, output.

#include "core/vector_math.h"

namespace lathe::math {

template <class T>
struct LstmGates {
  T i, f, g, o;
};
template <class T>
struct LstmState {
  T h, c;
};

/// What the four sums become.
template <class T>
LATHE_HD_INLINE LstmGates<T> lstm_gates(const LstmGates<T>& sum) {
  return {sigmoid(sum.i), sigmoid(sum.f), tanh(sum.g), sigmoid(sum.o)};
}

template <class T>
LATHE_HD_INLINE LstmState<T> lstm_state(const LstmGates<T>& gates, T c_before) {
  const T c = gates.f * c_before + gates.i * gates.g;
  return {gates.o * tanh(c), c};
}

/// Gradients of the four sums, and of the cell before.
template <class T>
struct LstmGradient {
  LstmGates<T> sum;
  T c_before;
};

/// `d` holds the gradients of h and c from everything later.
template <class T>
LATHE_HD_INLINE LstmGradient<T> lstm_backward(const LstmState<T>& d, const LstmGates<T>& gates, T c,
                                              T c_before) {
  const T squashed = tanh(c);
  const T dc = d.c + d.h * gates.o * (T(1) - squashed * squashed);
  return {{dc * gates.g * gates.i * (T(1) - gates.i), dc * c_before * gates.f * (T(1) - gates.f),
           dc * gates.i * (T(1) - gates.g * gates.g), d.h * squashed * gates.o * (T(1) - gates.o)},
          dc * gates.f};
}

}  // namespace lathe::math
