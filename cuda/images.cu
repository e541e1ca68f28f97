#include <limits>

#include "core/error.h"
#include "core/kernels/images.h"
#include "cuda/packs.cuh"
#include "cuda/step.h"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

struct ImageTensors {
  float* y;
  int64_t* target;
  const uint8_t* pixels;
  const int64_t* labels;
  const float* tables;
  const int64_t* indices;
  int64_t n;
  int height, width, channels;
};

/// Block i makes a piece of image i / pieces, W elements a thread; what the image draws is drawn once a
/// block.
template <int W>
__global__ void make_images(ImageTensors t, ImagePlan plan, int pieces) {
  __shared__ DrawnImageStep steps[Draws::kMaxAugments];
  const int64_t slot = blockIdx.x / pieces, index = t.indices[slot];
  const int piece = static_cast<int>(blockIdx.x % pieces), thread = static_cast<int>(threadIdx.x);
  if (thread < plan.count) steps[thread] = draw_step(plan, thread, index, t.height, t.width);
  __syncthreads();
  const bool known = index >= 0 && index < t.n;
  if (piece == 0 && thread == 0) t.target[slot] = known ? t.labels[index] : 0;

  const int row = t.width * t.channels, size = t.height * row;
  const int64_t first = (static_cast<int64_t>(piece) * blockDim.x + thread) * W;
  if (first >= size) return;
  int y = static_cast<int>(first) / row, x = static_cast<int>(first) % row / t.channels;
  int c = static_cast<int>(first) % t.channels;
  const uint8_t* stored = t.pixels + (known ? index : 0) * size;
  Run<float, W> out;
  for (int k = 0; k < W; ++k) {
    int64_t from_y = y, from_x = x;
    const bool seen = find_source(steps, plan.count, t.height, t.width, from_y, from_x);
    const int byte = seen && known ? stored[(from_y * t.width + from_x) * t.channels + c] : 0;
    const bool cut = is_cut_out(steps, plan.count, y, x);
    out.v[k] = !known ? std::numeric_limits<float>::quiet_NaN() : cut ? 0.0f : t.tables[256 * c + byte];
    if (++c < t.channels) continue;
    c = 0;
    if (++x < t.width) continue;
    x = 0;
    ++y;
  }
  runs<W>(t.y + slot * size)[first / W] = out;
}

}  // namespace

void image_batch(Tensor& y, Tensor& target, const Tensor& pixels, const Tensor& labels, const Tensor& tables,
                 const Tensor& indices, const ImagePlan& plan) {
  LATHE_CHECK(NotImplementedError, step_philox(plan.philox).step == nullptr,
              "image_batch: draws by epoch, which a recorded step cannot follow");
  const int64_t size = pixels.numel() / std::max<int64_t>(1, pixels.dim(0));
  LATHE_ASSERT(size < std::numeric_limits<int32_t>::max());
  const ImageTensors t{y.mut<float>(),
                       target.mut<int64_t>(),
                       pixels.ptr<uint8_t>(),
                       labels.ptr<int64_t>(),
                       tables.ptr<float>(),
                       indices.ptr<int64_t>(),
                       pixels.dim(0),
                       static_cast<int>(pixels.dim(1)),
                       static_cast<int>(pixels.dim(2)),
                       static_cast<int>(pixels.dim(3))};
  with_width<float>(size, {t.y}, [&]<int W>() {
    const int64_t pieces = (size + kBlock * W - 1) / (kBlock * W);
    launch(make_images<W>, block_each(indices.numel() * pieces), t, plan, static_cast<int>(pieces));
  });
}

}  // namespace lathe::kernels::cuda
