#pragma once
// A kernel is one declaration and two definitions, cpu::name and cuda::name. A missing one is a link error;
// nothing falls back from one device to the other.

#include <span>

#include "core/tensor.h"

namespace lathe::detail {

/// Device shared by the defined tensors among the arguments of kernel `name`; DeviceError if they differ.
class CommonDevice {
 public:
  explicit CommonDevice(const char* name) : name_(name) {}
  void visit(const Tensor& tensor);
  void visit(std::span<const Tensor> tensors) {
    for (const Tensor& tensor : tensors) visit(tensor);
  }
  void visit(std::span<Tensor> tensors) { visit(std::span<const Tensor>(tensors)); }
  void visit(const std::vector<Tensor>& tensors) { visit(std::span<const Tensor>(tensors)); }
  template <class T>
  void visit(const T&) {}  // scalars and options have no device
  Device device() const { return device_; }
  /// Of the first tensor of floating numbers, else of the first one.
  DType dtype() const { return dtype_; }

 private:
  const char* name_;
  Device device_;
  DType dtype_ = DType::F32;
  bool found_ = false;
};

/// For tests: told of every kernel that is called, before it runs; not thread safe. Null: nobody is. Builds
/// without assertions tell nobody.
using KernelObserver = void (*)(const char* name, Device device, DType dtype);
extern KernelObserver kernel_observer;

[[noreturn]] void no_cuda_kernel(const char* name);

/// While alive, this thread's current CUDA device is `device` and its tensors' addresses may be asked for:
/// elsewhere Tensor::ptr and its kin refuse them, because the host cannot follow them.
class DeviceScope {
 public:
  explicit DeviceScope(Device device);
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;
  ~DeviceScope();
  /// True while a scope of this thread lives.
  static bool active();

 private:
  bool previous_;
};

}  // namespace lathe::detail

namespace lathe {

template <class Signature>
class Kernel;

/// Callable that picks the definition by the tensors' common device. On Device::Meta it does nothing: shapes
/// were the caller's business.
template <class... Args>
class Kernel<void(Args...)> {
 public:
  using Function = void (*)(Args...);

  constexpr Kernel(const char* name, Function cpu, Function cuda) : name_(name), cpu_(cpu), cuda_(cuda) {}

  void operator()(Args... args) const {
    detail::CommonDevice common(name_);
    (common.visit(args), ...);
#if LATHE_ASSERTS
    if (detail::kernel_observer != nullptr) [[unlikely]]
      detail::kernel_observer(name_, common.device(), common.dtype());
#endif
    switch (common.device().type) {
      case DeviceType::Cpu:
        return cpu_(static_cast<Args&&>(args)...);
      case DeviceType::Cuda:
        if (cuda_ == nullptr) detail::no_cuda_kernel(name_);
        {
          const detail::DeviceScope scope(common.device());
          return cuda_(static_cast<Args&&>(args)...);
        }
      case DeviceType::Meta:
        return;
    }
  }
  const char* name() const {
    return name_;
  }

 private:
  const char* name_;
  Function cpu_;
  Function cuda_;
};

}  // namespace lathe

/// LATHE_KERNEL(softmax_forward, Tensor& y, const Tensor& x); -- inside namespace lathe::kernels
#if LATHE_HAS_CUDA
#define LATHE_KERNEL(name, ...)                              \
  namespace cpu {                                            \
  void name(__VA_ARGS__);                                    \
  }                                                          \
  namespace cuda {                                           \
  void name(__VA_ARGS__);                                    \
  }                                                          \
  inline constexpr ::lathe::Kernel<void(__VA_ARGS__)> name { \
#name, &cpu::name, &cuda::name                           \
  }
#else
#define LATHE_KERNEL(name, ...)                              \
  namespace cpu {                                            \
  void name(__VA_ARGS__);                                    \
  }                                                          \
  inline constexpr ::lathe::Kernel<void(__VA_ARGS__)> name { \
#name, &cpu::name, nullptr                               \
  }
#endif
