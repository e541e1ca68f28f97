#pragma once
// Images that live on a device as bytes, where augmented batches of them are made.

#include "core/kernels/images_math.h"
#include "core/transfer.h"
#include "data/images.h"

namespace lathe {

/// The samples of an ImageDataset, bit for bit, from a copy of the whole set on a device: the host sends
/// indices only. Work goes to the device's compute stream. Not copyable; used by one thread.
class DeviceImages {
 public:
  /// Bytes of pixels that a device is asked to keep at most; CIFAR has 154 million.
  static constexpr int64_t kMostBytes = int64_t{1} << 30;

  /// Copies `data`, which must outlive this and have a plan.
  DeviceImages(const ImageDataset& data, Device device);
  DeviceImages(const DeviceImages&) = delete;
  DeviceImages& operator=(const DeviceImages&) = delete;

  /// Uninitialised memory for n samples on the device.
  Batch allocate(int64_t n) const;
  /// Batches are of epoch `epoch` from now on; at first of epoch 0.
  void start(uint32_t epoch);
  /// Overwrites `batch` with the samples whose numbers are in `indices` (batch.size) i64, on the host, which
  /// has been read when this returns. ShapeError when the sizes differ or a number is no sample's.
  void load(Batch& batch, const Tensor& indices);

 private:
  const ImageDataset& data_;
  Device device_;
  Tensor pixels_, labels_, tables_;  // as kernels::image_batch reads them
  Tensor indices_;                   // of the largest batch so far
  Upload upload_;
  ImagePlan plan_;
};

}  // namespace lathe
