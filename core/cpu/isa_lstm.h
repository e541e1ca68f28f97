#pragma once
// One step of an LSTM for a block of units, compiled per instruction set (core/cpu/isa/lstm.cpp): the product
// with the step before and the gates in one pass over the weights.
//
// Weights come packed in panels, one per block: a row of 4 lstm_lanes() values per term of the sums. Forward
// these are the four gates of lstm_lanes() units, backward 4 lstm_lanes() units. Units beyond the last are 0.

#include <cstdint>

#include "core/cpu/isa.h"

namespace lathe::cpu {

/// Everything points to row 0 at this step; rows (sequences) are *_row elements apart. The step before may be
/// null: zeros.
template <class T>
struct LstmForwardStep {
  T *gates = nullptr, *h = nullptr, *c = nullptr;
  const T *h_before = nullptr, *c_before = nullptr;
  const T* panels = nullptr;
  int64_t rows = 0, units = 0;
  int64_t gates_row = 0, state_row = 0, before_row = 0;
};

template <class T>
struct LstmBackwardStep {
  T* dsums = nullptr;   ///< of this step; null: only dh is wanted
  T* dc = nullptr;      ///< (rows, units): gradient of the cell, which becomes that of the one before
  T* dh_out = nullptr;  ///< (rows, units): the product alone, where dsums is null
  const T* dsums_after = nullptr;  ///< of the step behind; null: there is none
  const T *dh = nullptr, *dcell = nullptr;
  const T *gates = nullptr, *c = nullptr, *c_before = nullptr;
  const T* panels = nullptr;
  int64_t rows = 0, units = 0;
  int64_t gates_row = 0, state_row = 0, before_row = 0;
};

LATHE_ISA_FUNCTION(int64_t, lstm_lanes_f32, );
LATHE_ISA_FUNCTION(int64_t, lstm_lanes_f64, );
LATHE_ISA_FUNCTION(void, lstm_forward_f32, const LstmForwardStep<float>& step, int64_t block);
LATHE_ISA_FUNCTION(void, lstm_forward_f64, const LstmForwardStep<double>& step, int64_t block);
LATHE_ISA_FUNCTION(void, lstm_backward_f32, const LstmBackwardStep<float>& step, int64_t block);
LATHE_ISA_FUNCTION(void, lstm_backward_f64, const LstmBackwardStep<double>& step, int64_t block);

}  // namespace lathe::cpu
