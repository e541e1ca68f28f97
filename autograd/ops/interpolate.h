#pragma once
// Resizing of maps and sequences, channels last.

#include <vector>

#include "autograd/var.h"

namespace lathe {

enum class Interpolation : uint8_t {
  Nearest,  ///< element floor(i n / out)
  Linear,   ///< between the two nearest centres (bilinear on maps); the border's value beyond them
  Cubic,    ///< Keys' kernel with a = -0.75 over four centres (bicubic on maps), the border repeated
};

/// x (N, T, C) or (N, H, W, C) -> the same with `size` elements along the axes between the first and the
/// last. Element i of `out` stands at (i + 0.5) n / out - 0.5 of n (PyTorch's align_corners = False); without
/// antialiasing. Each axis is a product with a constant matrix.
Var interpolate(const Var& x, const std::vector<int64_t>& size, Interpolation mode);

}  // namespace lathe
