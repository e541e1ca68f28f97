#include "tests/cuda/device.h"

#include <doctest/doctest.h>

#include "core/device_memory.h"
#include "core/dispatch.h"

namespace lathe::tests {

#if LATHE_HAS_CUDA

bool cuda_ready() {
  if (device_memory::device_count() > 0) return true;
  MESSAGE("SKIPPED: this machine has no CUDA device");
  return false;
}

void write_beside(const Tensor& tensor) {
  const detail::DeviceScope scope(tensor.device());
  Tensor handle = tensor;
  device_memory::copy_to_device(tensor.device(), handle.raw_mut() + tensor.bytes(), "beyond", 1);
}

AllocatorStats device_stats() {
  return device_memory::stats(cuda_device());
}

GuardedDevice::GuardedDevice()
    : before_(device_memory::guard_violations(cuda_device())),
      previous_(device_memory::set_guards(cuda_device(), true)) {}
GuardedDevice::~GuardedDevice() {
  device_memory::set_guards(cuda_device(), previous_);
}
uint64_t GuardedDevice::violations() const {
  return device_memory::guard_violations(cuda_device()) - before_;
}

#else

bool cuda_ready() {
  MESSAGE("SKIPPED: this build of Lathe has no CUDA kernels");
  return false;
}

void write_beside(const Tensor&) {}

AllocatorStats device_stats() {
  return {};
}

GuardedDevice::GuardedDevice() : before_(0), previous_(false) {}
GuardedDevice::~GuardedDevice() = default;
uint64_t GuardedDevice::violations() const {
  return before_;
}

#endif

}  // namespace lathe::tests
