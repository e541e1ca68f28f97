#pragma once
// NumPy's broadcasting: trailing axes align, an extent of 1 stretches.

#include "core/shape.h"

namespace lathe {

/// The shape that a and b stretch to; ShapeError, naming `op`, if they do not fit.
Shape broadcast_shape(const char* op, const Shape& a, const Shape& b);

/// A set of axes of one shape: bit i is axis i.
using AxisMask = uint32_t;

/// Axes of `to` along which `from` is stretched: missing in `from`, or of extent 1 where `to` has another.
AxisMask stretched_axes(const Shape& from, const Shape& to);

}  // namespace lathe
