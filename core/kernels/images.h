#pragma once
// Batches of augmented images from bytes that lie on the device.

#include "core/dispatch.h"
#include "core/kernels/images_math.h"

namespace lathe::kernels {

/// Sample b of the batch is image indices[b] of pixels (n, H, W, C) u8: y (B, H, W, C) f32 is augmented as
/// `plan` says, target (B) i64 is its label of labels (n) i64. Shifts and flips move bytes in the plan's
/// order, 0 is black; then byte v of channel c becomes tables[c][v], (C, 256) f32; then squares become 0.
/// For an index outside [0, n) a ShapeError on the host; on CUDA, which cannot throw, an image of NaN with
/// label 0. On CUDA not in a recorded step, which would repeat one epoch: NotImplementedError.
LATHE_KERNEL(image_batch, Tensor& y, Tensor& target, const Tensor& pixels, const Tensor& labels,
             const Tensor& tables, const Tensor& indices, const ImagePlan& plan);

}  // namespace lathe::kernels
