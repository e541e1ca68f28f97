#include <utility>

#include "core/block_cache.h"
#include "core/step_graph.h"
#include "core/tensor.h"
#include "cuda/memory.h"
#include "cuda/runtime.h"
#include "cuda/step.h"

namespace lathe {
namespace cuda {
namespace {

using Graph = Owned<cudaGraph_t, cudaGraphDestroy>;
using Executable = Owned<cudaGraphExec_t, cudaGraphExecDestroy>;

/// Ends a capture that was given up, so that the stream can be used again.
class Capture {
 public:
  explicit Capture(cudaStream_t stream) : stream_(stream) {
    // Relaxed: a kernel's first use may load its module, a pool may take memory from the driver.
    LATHE_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() {
    if (stream_ == nullptr) return;
    cudaGraph_t graph = nullptr;
    (void)cudaStreamEndCapture(stream_, &graph);
    (void)cudaGetLastError();
    if (graph != nullptr) (void)cudaGraphDestroy(graph);
  }
  Graph end() {
    Graph graph;
    LATHE_CUDA_CHECK(cudaStreamEndCapture(std::exchange(stream_, nullptr), graph.out()));
    return graph;
  }

 private:
  cudaStream_t stream_;
};

class CudaStepGraph final : public StepGraph {
 public:
  CudaStepGraph(Device device, uint32_t step, const std::function<void()>& work)
      : device_(device), pool_(make_private_pool(device)), step_(Tensor::zeros({1}, DType::I32, device)) {
    DeviceState& state = use(device);
    const UsePool use_pool(device, pool_);
    const RecordedStep recorded(step_, step);
    Capture capture(state.compute);
    work();
    const Graph graph = capture.end();
    size_t count = 0;
    LATHE_CUDA_CHECK(cudaGraphGetNodes(graph, nullptr, &count));
    nodes_ = static_cast<int64_t>(count);
    LATHE_CUDA_CHECK(cudaGraphInstantiate(executable_.out(), graph, 0));
  }

  void launch(uint32_t step) override {
    DeviceState& state = use(device_);
    set_step(step_, step);
    LATHE_CUDA_CHECK(cudaGraphLaunch(executable_, state.compute));
  }

  int64_t nodes() const override { return nodes_; }
  size_t bytes() const override { return pool_->stats().peak_live_bytes; }

 private:
  Device device_;
  std::shared_ptr<BlockCache> pool_;
  Tensor step_;
  Executable executable_;
  int64_t nodes_ = 0;
};

}  // namespace
}  // namespace cuda

std::unique_ptr<StepGraph> StepGraph::record(Device device, uint32_t step,
                                             const std::function<void()>& work) {
  return std::make_unique<cuda::CudaStepGraph>(device, step, work);
}

}  // namespace lathe
