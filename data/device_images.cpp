#include "data/device_images.h"

#include <algorithm>

#include "core/error.h"
#include "core/kernels/images.h"

namespace lathe {
namespace {

constexpr int64_t kPieceBytes = int64_t{16}
                                << 20;  // of pixels copied at a time: the host keeps no second set

Tensor pixels_of(const ImageSet& set, Device device) {
  Tensor pixels = Tensor::empty({set.size(), set.height, set.width, set.channels}, DType::U8, device);
  const int64_t most = std::max<int64_t>(1, kPieceBytes / std::max<int64_t>(1, set.image_bytes()));
  for (int64_t lo = 0; lo < set.size(); lo += most) {
    const int64_t hi = std::min(set.size(), lo + most);
    const std::span<const uint8_t> piece(set.image(lo).data(),
                                         static_cast<size_t>((hi - lo) * set.image_bytes()));
    Tensor there = pixels.rows(lo, hi);
    there.copy_from(Tensor::from(piece, there.shape()));
  }
  return pixels;
}

Tensor labels_of(const ImageSet& set, Device device) {
  const std::vector<int64_t> labels(set.labels.begin(), set.labels.end());
  return Tensor::from(labels, {set.size()}).to(device);
}

Tensor tables_of(const Normalizer& normalizer, Device device) {
  const std::span<const std::array<float, 256>> tables = normalizer.tables();
  Tensor all = Tensor::empty({static_cast<int64_t>(tables.size()), 256});
  float* to = all.mut<float>();
  for (const auto& table : tables) to = std::copy(table.begin(), table.end(), to);
  return all.to(device);
}

}  // namespace

DeviceImages::DeviceImages(const ImageDataset& data, Device device)
    : data_(data),
      device_(device),
      pixels_(pixels_of(*data.images(), device)),
      labels_(labels_of(*data.images(), device)),
      tables_(tables_of(data.normalizer(), device)),
      upload_(device) {
  start(0);
}

Batch DeviceImages::allocate(int64_t n) const {
  return {{Tensor::empty({n, pixels_.dim(1), pixels_.dim(2), pixels_.dim(3)}, DType::F32, device_)},
          {Tensor::empty({n}, DType::I64, device_)},
          n};
}

void DeviceImages::start(uint32_t epoch) {
  const std::optional<ImagePlan> plan = data_.plan(epoch);
  LATHE_ASSERT(plan.has_value());
  plan_ = *plan;
}

void DeviceImages::load(Batch& batch, const Tensor& indices) {
  LATHE_CHECK(ShapeError, indices.rank() == 1 && indices.dim(0) == batch.size, "images on a device: indices ",
              indices.shape(), " for a batch of ", batch.size);
  for (const int64_t index : indices.span<int64_t>()) {
    LATHE_CHECK(ShapeError, 0 <= index && index < data_.size(), "images on a device: number ", index, " of ",
                data_.size(), " samples");
  }
  if (!indices_.defined() || indices_.dim(0) < batch.size) {
    indices_ = Tensor::empty({batch.size}, DType::I64, device_);
  }
  Tensor there = indices_.rows(0, batch.size);
  upload_(there, indices);
  kernels::image_batch(batch.inputs.at(0), batch.targets.at(0), pixels_, labels_, tables_, there, plan_);
}

}  // namespace lathe
