#pragma once
// The seam to the toolkit's convolutions: vendor/convolution.cpp, or plain loops in the emulator of the
// tests.

#include <array>
#include <compare>

#include "core/dtype.h"

namespace lathe::cuda {

/// x (n, h, w, c), weights (k, kh, kw, c / groups), y (n, oh, ow, k), channels last; pairs are (rows,
/// columns).
struct Convolution {
  enum class Result : uint8_t { Y, X, Weights };  ///< forward, backward-data, backward-weight

  Result result = Result::Y;
  int64_t n = 0, h = 0, w = 0, c = 0;
  int64_t k = 0, kh = 0, kw = 0;
  int64_t oh = 0, ow = 0;
  std::array<int64_t, 2> stride{1, 1}, pad{}, dilation{1, 1};
  int64_t groups = 1;
  DType dtype = DType::F32;  ///< f32 or bf16, of all three; sums are f32
  bool tf32 = false;         ///< f32 operands may be rounded to 10 bits of mantissa
  bool deterministic = true;

  auto operator<=>(const Convolution&) const = default;
};

/// Queues the convolution on the compute stream; if deterministic, bit for bit the same for the same problem
/// on the same kind of device. False, with nothing queued, if the toolkit has no such algorithm for it. Two
/// of the tensors are read, the one that `result` names is written.
bool convolution(const Convolution& problem, void* x, void* weights, void* y);

}  // namespace lathe::cuda
