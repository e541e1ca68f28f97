// Page-locked staging memory on the copy stream, joined to the compute stream by events.

#include "core/transfer.h"

#include <cstring>

#include "core/device_memory.h"
#include "core/dispatch.h"
#include "cuda/runtime.h"

namespace lathe::device_memory {
namespace {

/// Page-locked memory that grows.
class Staging {
 public:
  Staging() = default;
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging() {
    if (memory_ != nullptr) (void)cudaFreeHost(memory_);
  }
  void* of(size_t bytes) {
    if (bytes <= capacity_) return memory_;
    if (memory_ != nullptr) LATHE_CUDA_CHECK(cudaFreeHost(memory_));
    memory_ = nullptr;
    capacity_ = 0;
    LATHE_CUDA_CHECK(cudaMallocHost(&memory_, bytes));
    capacity_ = bytes;
    return memory_;
  }
  const void* data() const { return memory_; }

 private:
  void* memory_ = nullptr;
  size_t capacity_ = 0;
};

cuda::Event make_event() {
  cuda::Event event;
  LATHE_CUDA_CHECK(cudaEventCreateWithFlags(event.out(), cudaEventDisableTiming));
  return event;
}

class CudaUpload final : public Upload::Backend {
 public:
  explicit CudaUpload(Device device)
      : device_(device), state_(cuda::use(device)), arrived_(make_event()), taken_(make_event()) {}

  void copy(Tensor& to, const Tensor& from) override {
    LATHE_CHECK(ShapeError, to.shape() == from.shape() && to.dtype() == from.dtype(), "upload: from ",
                from.dtype(), from.shape(), " to ", to.dtype(), to.shape());
    const size_t bytes = from.bytes();
    if (bytes == 0) return;
    cuda::use(device_);
    LATHE_CUDA_CHECK(cudaEventSynchronize(arrived_));  // the staging memory was read
    void* host = staging_.of(bytes);
    std::memcpy(host, from.raw(), bytes);
    if (!landing_.defined() || landing_.bytes() < bytes) {
      landing_ = Tensor::empty({static_cast<int64_t>(bytes)}, DType::U8, device_);
      LATHE_CUDA_CHECK(cudaEventRecord(taken_, state_.compute));  // behind an earlier owner of the memory
    }
    const detail::DeviceScope scope(device_);
    std::byte* landing = landing_.raw_mut();
    LATHE_CUDA_CHECK(cudaStreamWaitEvent(state_.copy, taken_));
    LATHE_CUDA_CHECK(cudaMemcpyAsync(landing, host, bytes, cudaMemcpyHostToDevice, state_.copy));
    LATHE_CUDA_CHECK(cudaEventRecord(arrived_, state_.copy));
    LATHE_CUDA_CHECK(cudaStreamWaitEvent(state_.compute, arrived_));
    LATHE_CUDA_CHECK(cudaMemcpyAsync(to.raw_mut(), landing, bytes, cudaMemcpyDeviceToDevice, state_.compute));
    LATHE_CUDA_CHECK(cudaEventRecord(taken_, state_.compute));
  }

 private:
  Device device_;
  cuda::DeviceState& state_;
  Staging staging_;
  Tensor landing_;  // on the device, so that a step may still read `to` while the next batch arrives
  cuda::Event arrived_, taken_;
};

class CudaDownload final : public Download::Backend {
 public:
  explicit CudaDownload(Device device) : device_(device), state_(cuda::use(device)), arrived_(make_event()) {}

  void start(const Tensor& from) override {
    LATHE_CHECK(ShapeError, from.numel() == 1, "download: shape ", from.shape(), ", expected one element");
    dtype_ = from.dtype();
    LATHE_CHECK(DTypeError, dtype_ == DType::F32 || dtype_ == DType::F64, "download: of ", dtype_);
    const detail::DeviceScope scope(device_);
    LATHE_CUDA_CHECK(cudaMemcpyAsync(staging_.of(sizeof(double)), from.raw(), from.bytes(),
                                     cudaMemcpyDeviceToHost, state_.compute));
    LATHE_CUDA_CHECK(cudaEventRecord(arrived_, state_.compute));
  }
  bool ready() const override { return cudaEventQuery(arrived_) == cudaSuccess; }
  double value() const override {
    LATHE_CUDA_CHECK(cudaEventSynchronize(arrived_));
    if (dtype_ == DType::F64) return *static_cast<const double*>(staging_.data());
    return static_cast<double>(*static_cast<const float*>(staging_.data()));
  }

 private:
  Device device_;
  cuda::DeviceState& state_;
  Staging staging_;
  DType dtype_ = DType::F32;
  cuda::Event arrived_;
};

}  // namespace

std::unique_ptr<Upload::Backend> make_upload(Device device) {
  return std::make_unique<CudaUpload>(device);
}
std::unique_ptr<Download::Backend> make_download(Device device) {
  return std::make_unique<CudaDownload>(device);
}

}  // namespace lathe::device_memory
