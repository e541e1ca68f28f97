#pragma once
// A batch norm's maps, for one value or a vector of them; see AffineRows and GradientRows
// (core/cpu/isa_norm.h).

#include "core/simd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {

template <class V>
[[gnu::always_inline]] inline V affine_value(V x, V mean, V scale, V shift) {
  return (x - mean) * scale + shift;
}
template <class V>
[[gnu::always_inline]] inline V relu_value(V x) {
  return x < V{} ? V{} : x;  // keeps NaN
}
/// g where y > 0, else 0. Arguments are values, so that both are loaded and a loop has no branch.
template <class V>
[[gnu::always_inline]] inline V masked_value(V g, V y) {
  return y > V{} ? g : V{};
}
template <class V>
[[gnu::always_inline]] inline V gradient_value(V g, V x, V mean, V a, V b, V c) {
  return a * g + (b * (x - mean) + c);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
