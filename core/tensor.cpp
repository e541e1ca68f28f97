#include "core/tensor.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/block_cache.h"
#include "core/device_memory.h"
#include "core/dispatch.h"
#include "core/kernels/elementwise.h"

namespace lathe {

namespace {

[[noreturn, maybe_unused]] void no_cuda(Device device) {
  LATHE_THROW(DeviceError, "device ", device, ": this build of Lathe has no CUDA kernels");
}

std::byte* allocate(Device device, size_t bytes) {
  if (bytes == 0) return nullptr;
  if (device.type == DeviceType::Meta) return static_cast<std::byte*>(meta_memory().allocate(bytes));
  if (device.type == DeviceType::Cpu) return static_cast<std::byte*>(host_allocator::allocate(bytes));
#if LATHE_HAS_CUDA
  return static_cast<std::byte*>(device_memory::allocate(device, bytes));
#else
  no_cuda(device);
#endif
}

void release(Device device, std::byte* data, size_t bytes) noexcept {
  if (data == nullptr) return;
  if (device.type == DeviceType::Cpu) host_allocator::release(data, bytes);
  if (device.type == DeviceType::Meta) meta_memory().release(data, bytes);
#if LATHE_HAS_CUDA
  if (device.type == DeviceType::Cuda) device_memory::release(device, data, bytes);
#endif
}

/// Neither device is Meta, and there are bytes.
void copy_bytes(Device to_device, std::byte* to, Device from_device, const std::byte* from, size_t bytes) {
  const bool to_host = to_device.type == DeviceType::Cpu, from_host = from_device.type == DeviceType::Cpu;
  if (to_host && from_host) {
    std::memcpy(to, from, bytes);
    return;
  }
#if LATHE_HAS_CUDA
  if (from_host) return device_memory::copy_to_device(to_device, to, from, bytes);
  if (to_host) return device_memory::copy_to_host(from_device, to, from, bytes);
  LATHE_CHECK(NotImplementedError, to_device == from_device, "to: cannot copy from ", from_device, " to ",
              to_device, " at once; go through the host");
  device_memory::copy_on_device(to_device, to, from, bytes);
#else
  no_cuda(to_host ? from_device : to_device);
#endif
}

}  // namespace

struct Tensor::Storage {
  Storage(size_t size, Device where) : data(allocate(where, size)), bytes(size), device(where) {}
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage() { release(device, data, bytes); }

  std::byte* data = nullptr;
  size_t bytes;
  Device device;
  std::atomic<uint64_t> version{0};
};

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  size_t bytes = 0;
  LATHE_CHECK(ShapeError, !__builtin_mul_overflow(static_cast<size_t>(shape.numel()), size_of(dtype), &bytes),
              "tensor of shape ", shape, ": its size in bytes does not fit in 64 bits");
  Tensor tensor;
  tensor.storage_ = std::make_shared<Storage>(bytes, device);
  tensor.shape_ = shape;
  tensor.dtype_ = dtype;
  return tensor;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  Tensor tensor = empty(shape, dtype, device);
  if (tensor.storage_->data == nullptr || device.type == DeviceType::Meta) return tensor;
#if LATHE_HAS_CUDA
  if (device.type == DeviceType::Cuda) {
    device_memory::set_zero(device, tensor.storage_->data, tensor.bytes());
    return tensor;
  }
#endif
  std::memset(tensor.storage_->data, 0, tensor.bytes());
  return tensor;
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor tensor = empty(shape, dtype, device);
  kernels::fill(tensor, value);
  return tensor;
}

template <Element T>
Tensor Tensor::from(std::span<const T> values, const Shape& shape) {
  LATHE_CHECK(ShapeError, static_cast<int64_t>(values.size()) == shape.numel(), "tensor: ", values.size(),
              " values for shape ", shape, " of ", shape.numel(), " elements");
  Tensor tensor = empty(shape, dtype_of<T>());
  if (!values.empty()) std::memcpy(tensor.raw_mut(), values.data(), tensor.bytes());
  return tensor;
}

template Tensor Tensor::from(std::span<const float>, const Shape&);
template Tensor Tensor::from(std::span<const double>, const Shape&);
template Tensor Tensor::from(std::span<const int64_t>, const Shape&);
template Tensor Tensor::from(std::span<const int32_t>, const Shape&);
template Tensor Tensor::from(std::span<const uint8_t>, const Shape&);
template Tensor Tensor::from(std::span<const bf16>, const Shape&);

Device Tensor::device() const {
  LATHE_CHECK(ShapeError, defined(), "tensor: device() of an undefined tensor");
  return storage_->device;
}

Tensor Tensor::view(const Shape& shape) const {
  LATHE_CHECK(ShapeError, shape.numel() == numel(), "view: shape ", shape, " has ", shape.numel(),
              " elements, the tensor of shape ", shape_, " has ", numel());
  Tensor other = *this;
  other.shape_ = shape;
  return other;
}

Tensor Tensor::rows(int64_t lo, int64_t hi) const {
  LATHE_CHECK(ShapeError, rank() > 0 && 0 <= lo && lo <= hi && hi <= shape_[0], "rows: [", lo, ", ", hi,
              ") of shape ", shape_);
  Tensor other = *this;
  other.offset_ += shape_[0] == 0 ? 0 : numel() / shape_[0] * lo;
  other.shape_ = shape_.with(0, hi - lo);
  return other;
}

Tensor Tensor::clone() const {
  Tensor copy = empty_like();
  copy.copy_from(*this);
  return copy;
}

Tensor Tensor::to(Device device) const {
  if (this->device() == device) return *this;
  Tensor copy = empty(shape_, dtype_, device);
  if (device.type != DeviceType::Meta) copy.copy_from(*this);
  return copy;
}

void Tensor::copy_from(const Tensor& other) {
  LATHE_CHECK(ShapeError, shape_ == other.shape_, "copy: from shape ", other.shape_, " to ", shape_);
  LATHE_CHECK(DTypeError, dtype_ == other.dtype_, "copy: from ", other.dtype_, " to ", dtype_);
  bump();
  if (numel() == 0 || device().type == DeviceType::Meta) return;
  LATHE_CHECK(DeviceError, other.device().type != DeviceType::Meta, "to: cannot copy from ", other.device(),
              " to ", device(), ": there is nothing to copy");
  copy_bytes(device(), location(), other.device(), other.location(), bytes());
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  Tensor copy = empty(shape_, dtype, device());
  kernels::cast(copy, *this);
  return copy;
}

const std::byte* Tensor::raw() const {
  return address();
}

std::byte* Tensor::raw_mut() {
  bump();
  return address();
}

double Tensor::item() const {
  LATHE_CHECK(ShapeError, numel() == 1, "item: shape ", shape_, " has ", numel(), " elements, expected one");
  LATHE_CHECK(DeviceError, device().type != DeviceType::Meta, "item: the tensor is on ", device());
  if (device().type != DeviceType::Cpu) return to(Device::cpu()).item();
  return dispatch_element(dtype_, [&]<class T>() { return static_cast<double>(*ptr<T>()); });
}

uint64_t Tensor::version() const {
  return storage_ == nullptr ? 0 : storage_->version.load(std::memory_order_relaxed);
}

void Tensor::check_access(DType wanted) const {
  LATHE_CHECK(ShapeError, defined(), "tensor: access to an undefined tensor");
  LATHE_CHECK(DTypeError, wanted == dtype_, "tensor: asked for ", wanted, ", the tensor holds ", dtype_);
}

void Tensor::bump() {
  LATHE_CHECK(ShapeError, defined(), "tensor: access to an undefined tensor");
  storage_->version.fetch_add(1, std::memory_order_relaxed);
}

std::byte* Tensor::address() const {
  LATHE_CHECK(ShapeError, defined(), "tensor: access to an undefined tensor");
  if (storage_->data == nullptr || storage_->device.type == DeviceType::Meta) {
    LATHE_CHECK(DeviceError, numel() == 0, "tensor: a tensor of shape ", shape_, " on ", storage_->device,
                " has no memory to access");
    return nullptr;
  }
  LATHE_CHECK(DeviceError, storage_->device.type != DeviceType::Cuda || detail::DeviceScope::active(),
              "tensor: the host cannot reach the memory of a tensor on ", storage_->device,
              "; copy it with to(Device::cpu())");
  return location();
}

std::byte* Tensor::location() const {
  return storage_->data + offset_ * static_cast<int64_t>(size_of(dtype_));
}

bool same_bits(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  if (a.numel() == 0) return true;
  const Tensor left = a.to(Device::cpu()), right = b.to(Device::cpu());
  return std::memcmp(left.raw(), right.raw(), left.bytes()) == 0;
}

}  // namespace lathe
