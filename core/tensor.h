#pragma once
// The value handle of the framework: a contiguous, row-major block of numbers on one device.

#include <memory>
#include <span>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"

namespace lathe {

/// A copy shares storage; clone() copies data. Images are (N, H, W, C), sequences (N, T, C): channels last,
/// always contiguous, so kernels never ask about layout. There are no operators here: only kernels act on
/// tensors.
///
/// Threads: concurrent const use is safe; writing needs exclusive access. A default-constructed tensor is
/// undefined.
class Tensor {
 public:
  Tensor() = default;

  static Tensor empty(const Shape& shape, DType dtype = DType::F32, Device device = Device::cpu());
  static Tensor zeros(const Shape& shape, DType dtype = DType::F32, Device device = Device::cpu());
  static Tensor full(const Shape& shape, double value, DType dtype = DType::F32,
                     Device device = Device::cpu());
  /// Uninitialised, with this tensor's dtype and device.
  Tensor empty_like() const { return empty(shape(), dtype(), device()); }
  Tensor empty_like(const Shape& shape) const { return empty(shape, dtype(), device()); }
  Tensor zeros_like() const { return zeros(shape(), dtype(), device()); }
  /// Copies `values` to a new host tensor; ShapeError if the counts differ.
  template <Element T>
  static Tensor from(std::span<const T> values, const Shape& shape);
  template <Element T>
  static Tensor from(const std::vector<T>& values, const Shape& shape) {
    return from(std::span<const T>(values), shape);
  }

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int i) const { return shape_[i]; }
  int64_t numel() const { return shape_.numel(); }
  size_t bytes() const { return static_cast<size_t>(numel()) * size_of(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const;

  /// Same storage under another shape with the same element count.
  Tensor view(const Shape& shape) const;
  /// Rows [lo, hi) of the first axis, same storage.
  Tensor rows(int64_t lo, int64_t hi) const;
  Tensor clone() const;
  /// This tensor if it is there already, else a copy. Waits for the device when the copy goes to the host.
  Tensor to(Device device) const;
  /// Overwrites this tensor's elements with another's of the same shape and dtype, on whatever device.
  void copy_from(const Tensor& other);
  Tensor to(DType dtype) const;

  /// Address of the first element on the tensor's device; DTypeError unless T is the element type,
  /// DeviceError when that is a CUDA device and the caller is no kernel of its own.
  template <Element T>
  const T* ptr() const {
    check_access(dtype_of<T>());
    return reinterpret_cast<const T*>(address());
  }
  /// The same for writing; bumps version().
  template <Element T>
  T* mut() {
    check_access(dtype_of<T>());
    bump();
    return reinterpret_cast<T*>(address());
  }
  template <Element T>
  std::span<const T> span() const {
    return {ptr<T>(), static_cast<size_t>(numel())};
  }
  const std::byte* raw() const;
  std::byte* raw_mut();

  /// The only element, as a double; waits for the tensor's device. ShapeError unless numel() is 1.
  double item() const;

  /// Counts writes through any handle of the storage.
  uint64_t version() const;
  /// True when no other handle shares the storage, so that it may be reused in place.
  bool unique() const { return storage_.use_count() == 1; }
  /// True when both handles share one storage.
  bool shares_storage(const Tensor& other) const { return storage_ == other.storage_; }

 private:
  struct Storage;

  void check_access(DType wanted) const;
  void bump();
  std::byte* address() const;
  std::byte* location() const;

  std::shared_ptr<Storage> storage_;
  Shape shape_;
  int64_t offset_ = 0;  // in elements
  DType dtype_ = DType::F32;
};

/// Same shape, dtype and bits (so NaN equals NaN), wherever they are; undefined equals undefined.
bool same_bits(const Tensor& a, const Tensor& b);

}  // namespace lathe
