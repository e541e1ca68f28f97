#include "core/dispatch.h"

namespace lathe::detail {

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

}  // namespace lathe::detail
