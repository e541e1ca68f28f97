// Device memory: a cache of blocks per device over cudaMalloc. Blocks return to the cache when their last
// tensor goes and may be handed out at once: whoever gets them works behind the earlier user on the same
// stream.

#include "cuda/memory.h"

#include <algorithm>
#include <map>
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

using Pool = std::shared_ptr<BlockCache>;

Pool make_pool(Device device) {
  return std::make_shared<BlockCache>(std::make_unique<DeviceBlocks>(device));
}

/// A device's own cache, and which cache each block in use of another one came from.
struct Pools {
  std::mutex mutex;
  std::vector<Pool> own;                 // by device index
  std::map<void*, Pool> private_blocks;  // looked up, never iterated

  BlockCache& of(Device device) {
    const std::lock_guard lock(mutex);
    const auto at = static_cast<size_t>(device.index);
    if (own.size() <= at) own.resize(at + 1);
    if (!own[at]) own[at] = make_pool(device);
    return *own[at];
  }
};

Pools& pools() {
  static auto* instance = new Pools;
  return *instance;
}

thread_local Pool private_pool;

}  // namespace

void* allocate(Device device, size_t bytes) {
  cuda::use(device);
  if (private_pool == nullptr) return pools().of(device).allocate(bytes);
  void* block = private_pool->allocate(bytes);
  const std::lock_guard lock(pools().mutex);
  pools().private_blocks[block] = private_pool;
  return block;
}

void release(Device device, void* block, size_t bytes) noexcept {
  Pool owner;
  {
    const std::lock_guard lock(pools().mutex);
    const auto found = pools().private_blocks.find(block);
    if (found != pools().private_blocks.end()) {
      owner = found->second;
      pools().private_blocks.erase(found);
    }
  }
  if (owner != nullptr) return owner->release(block, bytes);
  pools().of(device).release(block, bytes);
}

namespace {

/// A recorded copy would read or write the host's memory at every launch, when it means something else.
void refuse_recording(cudaStream_t stream, const char* what) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  LATHE_CUDA_CHECK(cudaStreamIsCapturing(stream, &status));
  LATHE_CHECK(NotImplementedError, status == cudaStreamCaptureStatusNone, "a copy ", what,
              " the host in a recorded step");
}

}  // namespace

void copy_to_device(Device device, void* to, const void* from, size_t bytes) {
  const cudaStream_t stream = cuda::use(device).compute;
  refuse_recording(stream, "from");
  LATHE_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream));
  LATHE_CUDA_CHECK(cudaStreamSynchronize(stream));  // a device that reads pageable memory itself may be late
}

void copy_to_host(Device device, void* to, const void* from, size_t bytes) {
  const cudaStream_t stream = cuda::use(device).compute;
  refuse_recording(stream, "to");
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

namespace lathe::cuda {

std::shared_ptr<BlockCache> make_private_pool(Device device) {
  return device_memory::make_pool(device);
}

UsePool::UsePool(Device device, std::shared_ptr<BlockCache> pool) {
  LATHE_ASSERT(device_memory::private_pool == nullptr);
  use(device);
  device_memory::private_pool = std::move(pool);
}
UsePool::~UsePool() {
  device_memory::private_pool = nullptr;
}

}  // namespace lathe::cuda
