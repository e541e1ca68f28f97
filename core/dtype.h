#pragma once
// Element types and devices.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "core/bf16.h"
#include "core/error.h"

namespace lathe {

enum class DType : uint8_t {
  F32,
  F64,
  I64,
  I32,
  U8,
  BF16,  ///< activations on a CUDA device under `precision: bf16`; on the host it is only moved and cast
};

constexpr size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::F32:
    case DType::I32:
      return 4;
    case DType::F64:
    case DType::I64:
      return 8;
    case DType::U8:
      return 1;
    case DType::BF16:
      return 2;
  }
  return 0;
}

constexpr bool is_floating(DType dtype) {
  return dtype == DType::F32 || dtype == DType::F64 || dtype == DType::BF16;
}

std::string_view to_string(DType dtype);  // "f32"

/// Element types kernels are written for.
template <class T>
concept Floating = std::is_same_v<T, float> || std::is_same_v<T, double>;
template <class T>
concept Element = Floating<T> || std::is_same_v<T, int64_t> || std::is_same_v<T, int32_t> ||
    std::is_same_v<T, uint8_t> || std::is_same_v<T, bf16>;

template <Element T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::F32;
  if constexpr (std::is_same_v<T, double>) return DType::F64;
  if constexpr (std::is_same_v<T, int64_t>) return DType::I64;
  if constexpr (std::is_same_v<T, int32_t>) return DType::I32;
  if constexpr (std::is_same_v<T, bf16>) return DType::BF16;
  return DType::U8;
}

/// Calls fn.operator()<float>() or fn.operator()<double>(); DTypeError, naming `op`, for any other type.
template <class Fn>
decltype(auto) dispatch_floating(DType dtype, const char* op, Fn&& fn) {
  if (dtype == DType::F32) return fn.template operator()<float>();
  if (dtype == DType::F64) return fn.template operator()<double>();
  LATHE_THROW(DTypeError, op, ": needs f32 or f64, got ", dtype);
}

/// The same over every element type.
template <class Fn>
decltype(auto) dispatch_element(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::F32:
      return fn.template operator()<float>();
    case DType::F64:
      return fn.template operator()<double>();
    case DType::I64:
      return fn.template operator()<int64_t>();
    case DType::I32:
      return fn.template operator()<int32_t>();
    case DType::BF16:
      return fn.template operator()<bf16>();
    case DType::U8:
      break;
  }
  return fn.template operator()<uint8_t>();
}

/// Where a tensor lives. Meta tensors have shapes and no memory: ops on them record and compute nothing.
enum class DeviceType : uint8_t { Cpu, Cuda, Meta };

struct Device {
  DeviceType type = DeviceType::Cpu;
  int index = 0;

  static Device cpu() { return {}; }
  static Device cuda(int index) { return {DeviceType::Cuda, index}; }
  static Device meta() { return {DeviceType::Meta, 0}; }
  /// "cpu", "cuda", "cuda:1"; ConfigError for anything else.
  static Device parse(std::string_view text);

  bool operator==(const Device&) const = default;
};

std::string to_string(Device device);

/// The device that `text` names as Device::parse has it, or for "auto" the first CUDA device, else the CPU.
/// DeviceError, saying what there is, for a CUDA device that is not there.
Device available_device(std::string_view text);

/// "cpu", "cuda:0 (NVIDIA H100 80GB HBM3)".
std::string describe(Device device);

}  // namespace lathe
