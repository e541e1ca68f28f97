#pragma once
// The convolutions that `lathe bench conv` times; peers (tools/peers/) time the same ones, so nothing of the
// library is included here.

#include <cstdint>

namespace lathe::bench {

/// Square images of `size`, kernels of `kernel` padded by kernel / 2, f32, channels last.
struct ConvCase {
  const char* name;
  int64_t n, size, c, k, kernel, stride = 1, groups = 1;
  int count = 0;  ///< in ResNet-20 at batch 128

  constexpr int64_t pad() const { return kernel / 2; }
  constexpr int64_t out_size() const { return (size + 2 * pad() - kernel) / stride + 1; }
};

inline constexpr ConvCase kConvCases[] = {
    {"r20 3-16 32x32", 128, 32, 3, 16, 3, 1, 1, 1},
    {"r20 16 32x32", 128, 32, 16, 16, 3, 1, 1, 6},
    {"r20 16 b32 32x32", 32, 32, 16, 16, 3},
    {"r20 16-32 /2", 128, 32, 16, 32, 3, 2, 1, 1},
    {"r20 32 16x16", 128, 16, 32, 32, 3, 1, 1, 5},
    {"r20 32-64 /2", 128, 16, 32, 64, 3, 2, 1, 1},
    {"r20 64 8x8", 128, 8, 64, 64, 3, 1, 1, 5},
    {"r18 64 32x32", 32, 32, 64, 64, 3},
    {"r18 64-128 /2", 32, 32, 64, 128, 3, 2},
    {"r18 64-128 1x1 /2", 32, 32, 64, 128, 1, 2},
    {"r18 128 16x16", 32, 16, 128, 128, 3},
    {"r18 256 8x8", 32, 8, 256, 256, 3},
    {"r18 256-512 /2", 32, 8, 256, 512, 3, 2},
    {"r18 256-512 1x1 /2", 32, 8, 256, 512, 1, 2},
    {"r18 512 4x4", 32, 4, 512, 512, 3},
    {"mb pointwise 32-64 32x32", 32, 32, 32, 64, 1},
    {"mb pointwise 128 16x16", 64, 16, 128, 128, 1},
    {"mb pointwise 512 4x4", 128, 4, 512, 512, 1},
    {"mb depthwise 32 32x32", 64, 32, 32, 32, 3, 1, 32},
    {"mb depthwise 64 /2", 64, 32, 64, 64, 3, 2, 64},
    {"mb depthwise 128 16x16", 64, 16, 128, 128, 3, 1, 128},
    {"mb depthwise 256 /2", 64, 8, 256, 256, 3, 2, 256},
    {"mb depthwise 512 4x4", 128, 4, 512, 512, 3, 1, 512},
    {"mb depthwise 1024 2x2", 128, 2, 1024, 1024, 3, 1, 1024},
    {"b3 depthwise 144 75x75 5x5", 8, 75, 144, 144, 5, 1, 144},
    {"b3 depthwise 144 /2 5x5", 8, 75, 144, 144, 5, 2, 144},
    {"b3 depthwise 816 19x19 5x5", 8, 19, 816, 816, 5, 1, 816},
    {"b3 depthwise 816 /2 5x5", 8, 19, 816, 816, 5, 2, 816},
};

}  // namespace lathe::bench
