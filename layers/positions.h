#pragma once
// Fixed sinusoidal positions (Vaswani et al. 2017, section 3.5), in fairseq's layout.

#include "autograd/var.h"

namespace lathe {

/// (rows, dim) f32 on the host: row p = [sin(p f_0) ... , cos(p f_0) ...] with f_j = exp(-j ln 10000 /
/// (dim / 2 - 1)), halves one after the other, an odd last column 0. Rounded to f32 at every step, as the
/// authors' table is, whatever the model's type. Row `padding` (-1: none) is 0. ConfigError below dim 4.
Tensor sinusoidal_positions(int64_t rows, int64_t dim, int64_t padding = -1);

/// The table of a model, made as far as it is needed.
class SinusoidalPositions {
 public:
  SinusoidalPositions(int64_t dim, int64_t padding) : dim_(dim), padding_(padding) {}

  /// What is added to embeddings (N, T, dim) of `tokens` (N, T), on the host or without values: (T, dim), or
  /// (N, T, dim) where tokens are padded. The t-th token that is no padding stands at padding + 1 + t,
  /// padding at `padding`.
  Tensor operator()(const Tensor& tokens);

 private:
  const Tensor& table(int64_t rows);

  int64_t dim_, padding_;
  Tensor table_;
};

}  // namespace lathe
