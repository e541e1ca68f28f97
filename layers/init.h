#pragma once
// Initialisers (PyTorch's defaults, models.md names the ones each architecture uses).

#include "layers/parameter.h"

namespace lathe::init {

Initializer constant(double value);
Initializer uniform(double bound);         ///< U(-bound, bound)
Initializer normal(double std);            ///< N(0, std^2)
Initializer truncated_normal(double std);  ///< N(0, std^2) resampled to [-2, 2]
Initializer fan_in_uniform(
    int64_t fan_in);                      ///< U(+-1/sqrt(fan_in)): PyTorch's default for weights and biases
Initializer kaiming_normal(int64_t fan);  ///< N(0, 2 / fan)
Initializer xavier_uniform(int64_t fan_in, int64_t fan_out, double gain = 1);

}  // namespace lathe::init
