#pragma once
// Memory and copies of CUDA devices, as core sees them. Defined in cuda/memory.cpp; a build without CUDA has
// no tensor on such a device and calls none of this.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "core/allocator.h"
#include "core/dtype.h"
#include "core/transfer.h"

namespace lathe::device_memory {

/// CUDA devices of this machine; 0 without a driver.
int device_count();

/// The device that `auto` takes: the first one; none in a build whose device is an emulation.
std::optional<Device> default_device();

/// DeviceError with the number of devices there are (and why there are none) unless `device` is one of them.
void check_available(Device device);

/// What the driver calls it: "NVIDIA H100 80GB HBM3".
std::string name(Device device);

/// Blocks come from a cache per device and are reused in the order of its compute stream, as all work of
/// tensors is. OutOfMemoryError.
void* allocate(Device device, size_t bytes);
void release(Device device, void* block, size_t bytes) noexcept;

/// On the compute stream, in its order. A copy to the host is finished when the call returns; one from the
/// host has read `from` then.
void copy_to_device(Device device, void* to, const void* from, size_t bytes);
void copy_to_host(Device device, void* to, const void* from, size_t bytes);
void copy_on_device(Device device, void* to, const void* from, size_t bytes);
void set_zero(Device device, void* to, size_t bytes);

/// Waits until all work given to the device is done; CudaError with the first error of any of it.
void synchronize(Device device);

std::unique_ptr<Upload::Backend> make_upload(Device device);
std::unique_ptr<Download::Backend> make_download(Device device);

AllocatorStats stats(Device device);
void reset_peak(Device device);
void trim(Device device);
/// As host_allocator::set_guards.
bool set_guards(Device device, bool on);
uint64_t guard_violations(Device device);

}  // namespace lathe::device_memory
