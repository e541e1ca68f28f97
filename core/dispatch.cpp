#include "core/dispatch.h"

#include "core/device_memory.h"

namespace lathe {

Device available_device(std::string_view text) {
#if LATHE_HAS_CUDA
  if (text == "auto") return device_memory::default_device().value_or(Device::cpu());
  const Device device = Device::parse(text);
  if (device.type == DeviceType::Cuda) device_memory::check_available(device);
  return device;
#else
  if (text == "auto") return Device::cpu();
  const Device device = Device::parse(text);
  LATHE_CHECK(DeviceError, device.type == DeviceType::Cpu, "device ", device,
              ": this build of Lathe has no CUDA kernels; use --device cpu");
  return device;
#endif
}

std::string describe(Device device) {
#if LATHE_HAS_CUDA
  if (device.type == DeviceType::Cuda) return concat(device, " (", device_memory::name(device), ")");
#endif
  return to_string(device);
}

namespace detail {
namespace {

thread_local bool device_scope = false;

}  // namespace

void CommonDevice::visit(const Tensor& tensor) {
  if (!tensor.defined()) return;  // an optional argument that was not given
  if (!found_) {
    device_ = tensor.device();
    dtype_ = tensor.dtype();
    found_ = true;
  }
  if (!is_floating(dtype_) && is_floating(tensor.dtype())) dtype_ = tensor.dtype();
  LATHE_CHECK(DeviceError, tensor.device() == device_, name_, ": tensors on different devices: ", device_,
              " and ", tensor.device());
}

KernelObserver kernel_observer = nullptr;

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

}  // namespace detail
}  // namespace lathe
