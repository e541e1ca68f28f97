#pragma once
// How the CPU's loops are cut.

#include <algorithm>

#include "core/loop_nest.h"
#include "core/parallel.h"

namespace lathe::cpu {

/// Elements of work a chunk should hold: long enough to hide the start of a task, short enough to balance.
inline constexpr int64_t kElementGrain = 32768;

/// Rows of `width` elements per chunk.
constexpr int64_t row_grain(int64_t width) {
  return std::max<int64_t>(1, kElementGrain / std::max<int64_t>(1, width));
}

/// The f32 or the f64 variant of a per-ISA function.
template <class T, class F32, class F64>
constexpr const auto& pick(const F32& f32, const F64& f64) {
  if constexpr (std::is_same_v<T, float>) {
    return f32;
  } else {
    return f64;
  }
}

}  // namespace lathe::cpu
