#pragma once
// A ConvMapping of vectors, specialised at compile time.

#include "core/cpu/conv_tile.h"
#include "core/cpu/isa/norm_map.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {

/// kSwitch is the relu of Affine, the mask of Gradient.
template <ConvMap kMap, bool kSwitch, class V>
[[gnu::always_inline]] inline V mapped(V x, V g, V y, V mean, V scale, V slope, V shift) {
  if constexpr (kMap == ConvMap::Identity) return x;
  if constexpr (kMap == ConvMap::Affine) {
    const V value = affine_value(x, mean, scale, shift);
    return kSwitch ? relu_value(value) : value;
  }
  return gradient_value(kSwitch ? masked_value(g, y) : g, x, mean, scale, slope, shift);
}

/// Calls fn<kMap, kSwitch>().
template <class T, class Fn>
void for_mapping(const ConvMapping<T>& m, const Fn& fn) {
  switch (m.map) {
    case ConvMap::Identity:
      return fn.template operator()<ConvMap::Identity, false>();
    case ConvMap::Affine:
      return m.relu ? fn.template operator()<ConvMap::Affine, true>()
                    : fn.template operator()<ConvMap::Affine, false>();
    case ConvMap::Gradient:
      return m.y != nullptr ? fn.template operator()<ConvMap::Gradient, true>()
                            : fn.template operator()<ConvMap::Gradient, false>();
  }
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
