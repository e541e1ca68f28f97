#pragma once
// Lines that follow each other without a gap, in the scratch and in the tensor of outputs, are one line.

#include "core/cpu/conv_tile.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {

/// The same pixels in the same order, in as few lines as can be; `inside` tells lines apart.
inline ConvLines merged(ConvLines l, const ConvInside* inside) {
  if (inside != nullptr) return l;
  if (l.inner == 1 || (l.x_inner == l.length * l.x_pixel && l.y_inner == l.length * l.y_pixel)) {
    l.length *= l.inner;
    l.inner = 1;
    if (l.x_outer == l.length * l.x_pixel && l.y_outer == l.length * l.y_pixel) {
      l.length *= l.outer;
      l.outer = 1;
    }
  }
  return l;
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
