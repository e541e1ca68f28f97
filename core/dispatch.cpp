#include "core/dispatch.h"

#include "core/device_memory.h"

namespace lathe::detail {
namespace {

thread_local bool device_scope = false;

}  // namespace

void CommonDevice::visit(const Tensor& tensor) {
  if (!tensor.defined()) return;  // an optional argument that was not given
  if (!found_) {
    device_ = tensor.device();
    found_ = true;
  }
  LATHE_CHECK(DeviceError, tensor.device() == device_, name_, ": tensors on different devices: ", device_,
              " and ", tensor.device());
}

void no_cuda_kernel(const char* name) {
  LATHE_THROW(DeviceError, name, ": this build of Lathe has no CUDA kernels");
}

DeviceScope::DeviceScope(Device device) : previous_(device_scope) {
#if LATHE_HAS_CUDA
  device_memory::check_available(device);
#else
  LATHE_THROW(DeviceError, "device ", device, ": this build of Lathe has no CUDA kernels");
#endif
  device_scope = true;
}

DeviceScope::~DeviceScope() {
  device_scope = previous_;
}

bool DeviceScope::active() {
  return device_scope;
}

}  // namespace lathe::detail
