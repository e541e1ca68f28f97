#pragma once
// The CUDA run time as Lathe uses it: one compute and one copy stream per device, errors as exceptions.

#include <cstddef>
#include <cstdint>

#include <cuda_runtime.h>

#include "core/dtype.h"
#include "core/error.h"

namespace lathe::cuda {

/// CudaError, or OutOfMemoryError, that names the call.
void check(cudaError_t status, const char* call);
#define LATHE_CUDA_CHECK(call) ::lathe::cuda::check((call), #call)

/// Calls `destroy` on a handle of the toolkit when it goes.
template <class Handle, auto destroy>
class Owned {
 public:
  Owned() = default;
  explicit Owned(Handle handle) : handle_(handle) {}
  Owned(Owned&& other) noexcept : handle_(other.handle_) { other.handle_ = Handle{}; }
  Owned& operator=(Owned&& other) noexcept {
    Handle mine = handle_;
    handle_ = other.handle_;
    other.handle_ = mine;
    return *this;
  }
  ~Owned() {
    if (handle_ != Handle{}) (void)destroy(handle_);
  }
  operator Handle() const { return handle_; }
  Handle* out() { return &handle_; }

 private:
  Handle handle_{};
};
using Stream = Owned<cudaStream_t, cudaStreamDestroy>;
using Event = Owned<cudaEvent_t, cudaEventDestroy>;

/// What a process keeps of one device. Made at its first use, never destroyed: tensors with static storage
/// may outlive any order of destruction.
struct DeviceState {
  int index = 0;
  int multiprocessors = 1;
  int compute_capability = 0;  ///< 90 for 9.0
  cudaStream_t compute = nullptr;
  cudaStream_t copy = nullptr;
};

/// Makes `device` this thread's current one. DeviceError, saying how many there are, if it is not there.
DeviceState& use(Device device);
/// The current device's; a kernel's tensors are on it (core/dispatch.h).
DeviceState& current();
Device current_device();

/// Work of tensors goes here.
inline cudaStream_t compute_stream() {
  return current().compute;
}

}  // namespace lathe::cuda
