#pragma once
// The device that tests of the CUDA twin use.

#include "core/allocator.h"
#include "core/tensor.h"

namespace lathe::tests {

inline Device cuda_device() {
  return Device::cuda(0);
}

/// False, saying so loudly, where this build has no CUDA kernels or this machine no device.
bool cuda_ready();

/// Writes the byte behind a tensor's last.
void write_beside(const Tensor& tensor);

/// Of the device's memory.
AllocatorStats device_stats();

/// While alive, blocks of the device stand between guard bands and start as NaN.
class GuardedDevice {
 public:
  GuardedDevice();
  GuardedDevice(const GuardedDevice&) = delete;
  GuardedDevice& operator=(const GuardedDevice&) = delete;
  ~GuardedDevice();
  /// Blocks written beside since the guards went up.
  uint64_t violations() const;

 private:
  uint64_t before_;
  bool previous_;
};

}  // namespace lathe::tests
