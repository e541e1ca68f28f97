#pragma once
// The digits 0 to 9 as strokes: our own drawings, made of quadratic curves.

#include <span>
#include <vector>

#include "data/canvas.h"

namespace lathe {

inline constexpr int kGlyphClasses = 10;

/// One pen stroke: a start, then (control, end) pairs of quadratic curves. A straight part has its control in
/// the middle. Letters fill [-0.62, 0.62] x [-1, 1], y down.
struct PenStroke {
  std::vector<Point> points;
};
using Outline = std::vector<PenStroke>;

/// The ways to write a digit, at least one.
std::span<const Outline> glyph_outlines(int digit);

}  // namespace lathe
