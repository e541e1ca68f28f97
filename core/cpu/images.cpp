#include "core/kernels/images.h"

#include <array>

#include "core/error.h"
#include "core/parallel.h"

namespace lathe::kernels::cpu {
namespace {

struct Extent {
  int64_t height, width, channels;
};

void make_image(float* out, const uint8_t* stored, const float* tables, const Extent& extent, int64_t index,
                const ImagePlan& plan) {
  std::array<DrawnImageStep, Draws::kMaxAugments> steps;
  for (int i = 0; i < plan.count; ++i) {
    steps[static_cast<size_t>(i)] = draw_step(plan, i, index, extent.height, extent.width);
  }
  for (int64_t y = 0; y < extent.height; ++y) {
    for (int64_t x = 0; x < extent.width; ++x) {
      const bool cut = is_cut_out(steps.data(), plan.count, y, x);
      int64_t from_y = y, from_x = x;
      const bool seen = find_source(steps.data(), plan.count, extent.height, extent.width, from_y, from_x);
      const uint8_t* from = stored + (seen ? (from_y * extent.width + from_x) * extent.channels : 0);
      for (int64_t c = 0; c < extent.channels; ++c) {
        *out++ = cut ? 0.0f : tables[256 * c + (seen ? from[c] : 0)];
      }
    }
  }
}

}  // namespace

void image_batch(Tensor& y, Tensor& target, const Tensor& pixels, const Tensor& labels, const Tensor& tables,
                 const Tensor& indices, const ImagePlan& plan) {
  const Extent extent{pixels.dim(1), pixels.dim(2), pixels.dim(3)};
  const int64_t size = extent.height * extent.width * extent.channels, n = pixels.dim(0);
  const uint8_t* stored = pixels.ptr<uint8_t>();
  const int64_t* label = labels.ptr<int64_t>();
  const int64_t* index = indices.ptr<int64_t>();
  const float* table = tables.ptr<float>();
  float* out = y.mut<float>();
  int64_t* out_label = target.mut<int64_t>();
  parallel_for(indices.numel(), 1, [&](int64_t lo, int64_t hi) {
    for (int64_t b = lo; b < hi; ++b) {
      LATHE_CHECK(ShapeError, index[b] >= 0 && index[b] < n, "image_batch: index ", index[b], " at ", b,
                  ", there are ", n, " images");
      make_image(out + b * size, stored + index[b] * size, table, extent, index[b], plan);
      out_label[b] = label[index[b]];
    }
  });
}

}  // namespace lathe::kernels::cpu
