#include "core/tensor.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/allocator.h"

namespace lathe {

struct Tensor::Storage {
  Storage(size_t size, Device where) : bytes(size), device(where) {
    if (where.type == DeviceType::Cpu && size > 0) {
      data = static_cast<std::byte*>(host_allocator::allocate(size));
    } else if (where.type == DeviceType::Cuda) {
      LATHE_THROW(DeviceError, "device ", where, ": this build of Lathe has no CUDA kernels");
    }
  }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage() {
    if (data != nullptr) host_allocator::release(data, bytes);
  }

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
  if (tensor.storage_->data != nullptr) std::memset(tensor.storage_->data, 0, tensor.bytes());
  return tensor;
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor tensor = empty(shape, dtype, device);
  if (device.type == DeviceType::Meta) return tensor;
  dispatch_element(dtype,
                   [&]<class T>() { std::fill_n(tensor.mut<T>(), tensor.numel(), static_cast<T>(value)); });
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
  if (numel() > 0 && copy.storage_->data != nullptr) std::memcpy(copy.raw_mut(), raw(), bytes());
  return copy;
}

Tensor Tensor::to(Device device) const {
  if (this->device() == device) return *this;
  LATHE_CHECK(DeviceError, device.type == DeviceType::Meta, "to: cannot copy from ", this->device(), " to ",
              device, ": this build of Lathe has no CUDA kernels");
  return empty(shape_, dtype_, device);
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  Tensor copy = empty(shape_, dtype, device());
  if (device().type == DeviceType::Meta) return copy;
  dispatch_element(dtype_, [&]<class From>() {
    dispatch_element(dtype, [&]<class To>() {
      const From* x = ptr<From>();
      std::transform(x, x + numel(), copy.mut<To>(), [](From value) { return static_cast<To>(value); });
    });
  });
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
  LATHE_CHECK(DeviceError, device().type == DeviceType::Cpu, "item: the tensor is on ", device());
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
  if (storage_->data == nullptr) {
    LATHE_CHECK(DeviceError, numel() == 0, "tensor: a tensor of shape ", shape_, " on ", storage_->device,
                " has no memory to access");
    return nullptr;
  }
  return storage_->data + offset_ * static_cast<int64_t>(size_of(dtype_));
}

}  // namespace lathe
