#pragma once
// Random numbers and masks: element i is a pure function of the stream and i. f32 or f64, on CUDA also bf16;
// all get the same words.

#include "core/dispatch.h"
#include "core/philox.h"

namespace lathe::kernels {

/// y[i] = lo + (hi - lo) philox.uniform(i)
LATHE_KERNEL(fill_uniform, Tensor& y, double lo, double hi, const Philox& philox);
/// Normal with mean 0: Box and Muller 1958 in f64. With u = (word(2i) + 1/2) 2^-32 and v = word(2i + 1)
/// 2^-32, y[i] = std sqrt(-2 log u) cos(2 pi v).
LATHE_KERNEL(fill_normal, Tensor& y, double std, const Philox& philox);

/// y[i] = x[i] / (1 - p) where philox.uniform(first + i) >= p, else 0. Equal shapes; y may be x. Also its own
/// backward.
LATHE_KERNEL(dropout, Tensor& y, const Tensor& x, double p, const Philox& philox, uint64_t first);
/// Row i of the first axis: y = x / (1 - p) floor(1 - p + philox.uniform(first + i)). Also its own backward.
LATHE_KERNEL(drop_path, Tensor& y, const Tensor& x, double p, const Philox& philox, uint64_t first);

}  // namespace lathe::kernels
