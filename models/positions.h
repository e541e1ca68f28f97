#pragma once
// Learned positions of image patches for another image size (Dosovitskiy et al. 2021, section 3.2).

#include "core/tensor.h"

namespace lathe {

/// given (1, extra + side^2, width), the first `extra` rows of tokens that stand nowhere; `wanted` the same
/// shape of another side: the grid resampled bicubically, in f64. Undefined unless both are of this form.
Tensor resized_positions(const Tensor& given, const Shape& wanted, int64_t extra);

}  // namespace lathe
