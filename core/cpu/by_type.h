#pragma once
// Functions that exist once per instruction set exist once per element type too, under names of their own.

#include <type_traits>

#include "core/dtype.h"

namespace lathe::cpu {

/// The f32 function when T is float, the f64 one when it is double.
template <Floating T, class F32, class F64>
constexpr auto by_type(const F32& f32, const F64& f64) {
  if constexpr (std::is_same_v<T, float>) {
    return f32;
  } else {
    return f64;
  }
}

}  // namespace lathe::cpu
