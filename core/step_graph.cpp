#include "core/step_graph.h"

namespace lathe {

#if !LATHE_HAS_CUDA
std::unique_ptr<StepGraph> StepGraph::record(Device device, uint32_t, const std::function<void()>&) {
  LATHE_THROW(DeviceError, "device ", device, ": this build of Lathe has no CUDA kernels");
}
#endif

}  // namespace lathe
