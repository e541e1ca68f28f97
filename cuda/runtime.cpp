#include "cuda/runtime.h"

#include <memory>
#include <mutex>
#include <vector>

#include "core/device_memory.h"

namespace lathe {
namespace cuda {
namespace {

thread_local DeviceState* current_state = nullptr;

/// 0 when there is no driver or no device, with the reason in `why`.
int device_count(std::string& why) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess) return count;
  (void)cudaGetLastError();  // the error is no other call's
  why = cudaGetErrorString(status);
  return 0;
}

std::unique_ptr<DeviceState> make_state(int index) {
  auto state = std::make_unique<DeviceState>();
  state->index = index;
  int major = 0, minor = 0;
  LATHE_CUDA_CHECK(cudaSetDevice(index));
  LATHE_CUDA_CHECK(cudaDeviceGetAttribute(&state->multiprocessors, cudaDevAttrMultiProcessorCount, index));
  LATHE_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index));
  LATHE_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index));
  state->compute_capability = 10 * major + minor;
  LATHE_CUDA_CHECK(cudaStreamCreateWithFlags(&state->compute, cudaStreamNonBlocking));
  LATHE_CUDA_CHECK(cudaStreamCreateWithFlags(&state->copy, cudaStreamNonBlocking));
  return state;
}

struct Devices {
  std::mutex mutex;
  std::vector<std::unique_ptr<DeviceState>> states;
  std::string why_none;

  Devices() { states.resize(static_cast<size_t>(device_count(why_none))); }
};

Devices& devices() {
  static auto* instance = new Devices;
  return *instance;
}

}  // namespace

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) [[likely]]
    return;
  (void)cudaGetLastError();
  const char* reason = cudaGetErrorString(status);
  LATHE_CHECK(OutOfMemoryError, status != cudaErrorMemoryAllocation, "CUDA: ", call, ": ", reason);
  LATHE_THROW(CudaError, "CUDA: ", call, ": ", reason);
}

DeviceState& use(Device device) {
  LATHE_ASSERT(device.type == DeviceType::Cuda);
  if (current_state != nullptr && current_state->index == device.index) return *current_state;
  Devices& all = devices();
  const std::lock_guard lock(all.mutex);
  const size_t count = all.states.size();
  if (count == 0) {
    LATHE_THROW(DeviceError, "device ", device, ": there is no CUDA device", all.why_none.empty() ? "" : ": ",
                all.why_none);
  }
  LATHE_CHECK(DeviceError, static_cast<size_t>(device.index) < count, "device ", device, ": there ",
              count == 1 ? "is 1 CUDA device, cuda:0" : concat("are ", count, " CUDA devices, cuda:0 on"));
  std::unique_ptr<DeviceState>& state = all.states[static_cast<size_t>(device.index)];
  if (state == nullptr) state = make_state(device.index);
  LATHE_CUDA_CHECK(cudaSetDevice(device.index));
  current_state = state.get();
  return *current_state;
}

DeviceState& current() {
  LATHE_ASSERT(current_state != nullptr);
  return *current_state;
}

Device current_device() {
  return Device::cuda(current().index);
}

}  // namespace cuda

namespace device_memory {

int device_count() {
  return static_cast<int>(cuda::devices().states.size());
}

std::optional<Device> default_device() {
#if LATHE_CUDA_EMULATED
  return std::nullopt;
#else
  return device_count() > 0 ? std::optional(Device::cuda(0)) : std::nullopt;
#endif
}

void check_available(Device device) {
  cuda::use(device);
}

std::string name(Device device) {
  cudaDeviceProp properties;
  LATHE_CUDA_CHECK(cudaGetDeviceProperties(&properties, cuda::use(device).index));
  return properties.name;
}

void synchronize(Device device) {
  const cuda::DeviceState& state = cuda::use(device);
  LATHE_CUDA_CHECK(cudaStreamSynchronize(state.copy));
  LATHE_CUDA_CHECK(cudaStreamSynchronize(state.compute));
}

}  // namespace device_memory
}  // namespace lathe
