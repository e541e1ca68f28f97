#pragma once
// The device that tests of the CUDA twin use.

#include "core/tensor.h"

namespace lathe::tests {

inline Device cuda_device() {
  return Device::cuda(0);
}

/// False, saying so loudly, where this build has no CUDA kernels or this machine no device.
bool cuda_ready();

/// For tests that write where they should not.
std::byte* device_address(const Tensor& tensor);

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
