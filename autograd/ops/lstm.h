#pragma once
// Long short-term memory.

#include "autograd/var.h"

namespace lathe {

/// Gates stand in the order input, forget, cell, output.
struct LstmWeights {
  Var input;                                 ///< (4H, in)
  Var recurrent;                             ///< (4H, H)
  Var input_bias = {}, recurrent_bias = {};  ///< (4H), added; both or neither are defined
};
struct LstmOptions {
  Var h0 = {}, c0 = {};  ///< (N, H) before the first step; undefined: zeros
  bool reverse = false;  ///< from the last step to the first; outputs stand at their inputs' places
};

/// One direction of one layer: x (N, T, in), T >= 1, to (2, N, T, H): outputs, then cells. f32 or f64.
Var lstm(const Var& x, const LstmWeights& weights, const LstmOptions& options = {});

}  // namespace lathe
