// Device memory: a cache of blocks per device over cudaMalloc. Blocks return to the cache when their last
// tensor goes and may be handed out at once: whoever gets them works behind the earlier user on the same
// stream.

#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include "core/block_cache.h"
#include "core/device_memory.h"
#include "cuda/runtime.h"

namespace lathe::device_memory {
namespace {

class DeviceBlocks final : public BlockSource {
 public:
  explicit DeviceBlocks(Device device) : device_(device) {}

  void* allocate(size_t bytes) override {
    cuda::use(device_);
    void* block = nullptr;
    const cudaError_t status = cudaMalloc(&block, bytes);
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      return nullptr;
    }
    cuda::check(status, "cudaMalloc");
    return block;
  }
  void release(void* block) noexcept override { (void)cudaFree(block); }  // waits for work that uses it
  void fill(void* to, unsigned char byte, size_t bytes) override {
    LATHE_CUDA_CHECK(cudaMemsetAsync(to, byte, bytes, cuda::use(device_).compute));
  }
  bool all_equal(const void* from, unsigned char byte, size_t bytes) noexcept override {
    std::vector<unsigned char> host(bytes);
    const cudaStream_t stream = cuda::use(device_).compute;
    if (cudaMemcpyAsync(host.data(), from, bytes, cudaMemcpyDeviceToHost, stream) != cudaSuccess)
      return false;
    if (cudaStreamSynchronize(stream) != cudaSuccess) return false;
    return std::all_of(host.begin(), host.end(), [byte](unsigned char other) { return other == byte; });
  }
  std::string name() const override { return to_string(device_); }

 private:
  Device device_;
};

/// A device's caches: the one that tensors use, and those that captured graphs own.
struct Pools {
  std::vector<std::unique_ptr<BlockCache>> caches;  // by device index
  std::mutex mutex;

  BlockCache& of(Device device) {
    const std::lock_guard lock(mutex);
    const auto at = static_cast<size_t>(device.index);
    if (caches.size() <= at) caches.resize(at + 1);
    if (!caches[at]) caches[at] = std::make_unique<BlockCache>(std::make_unique<DeviceBlocks>(device));
    return *caches[at];
  }
};

Pools& pools() {
  static auto* instance = new Pools;
  return *instance;
}

}  // namespace

void* allocate(Device device, size_t bytes) {
  cuda::use(device);
  return pools().of(device).allocate(bytes);
}

void release(Device device, void* block, size_t bytes) noexcept {
  pools().of(device).release(block, bytes);
}

void copy_to_device(Device device, void* to, const void* from, size_t bytes) {
  // From pageable memory the call returns when `from` has been read.
  LATHE_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, cuda::use(device).compute));
}

void copy_to_host(Device device, void* to, const void* from, size_t bytes) {
  const cudaStream_t stream = cuda::use(device).compute;
  LATHE_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream));
  LATHE_CUDA_CHECK(cudaStreamSynchronize(stream));
}

void copy_on_device(Device device, void* to, const void* from, size_t bytes) {
  LATHE_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, cuda::use(device).compute));
}

void set_zero(Device device, void* to, size_t bytes) {
  LATHE_CUDA_CHECK(cudaMemsetAsync(to, 0, bytes, cuda::use(device).compute));
}

AllocatorStats stats(Device device) {
  return pools().of(device).stats();
}
void reset_peak(Device device) {
  pools().of(device).reset_peak();
}
void trim(Device device) {
  pools().of(device).trim();
}
bool set_guards(Device device, bool on) {
  return pools().of(device).set_guards(on);
}
uint64_t guard_violations(Device device) {
  return pools().of(device).guard_violations();
}

}  // namespace lathe::device_memory
