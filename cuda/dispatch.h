#pragma once
// Choice of a kernel's element type.

#include "core/tensor.h"

namespace lathe::cuda {

/// fn.operator()<float>(), <double>() or <bf16>(); DTypeError, naming `op`, for any other type.
template <class Fn>
decltype(auto) dispatch_arithmetic(DType dtype, const char* op, Fn&& fn) {
  if (dtype == DType::F32) return fn.template operator()<float>();
  if (dtype == DType::F64) return fn.template operator()<double>();
  if (dtype == DType::BF16) return fn.template operator()<bf16>();
  LATHE_THROW(DTypeError, op, ": needs f32, f64 or bf16, got ", dtype);
}

/// Address of an optional tensor, or null.
template <Element T>
const T* optional_ptr(const Tensor& tensor) {
  return tensor.defined() ? tensor.ptr<T>() : nullptr;
}
template <Element T>
T* optional_mut(Tensor& tensor) {
  return tensor.defined() ? tensor.mut<T>() : nullptr;
}

}  // namespace lathe::cuda
