#include "data/glyph_outlines.h"

#include <array>

#include "core/error.h"

namespace lathe {
namespace {

Point middle(Point a, Point b) {
  return {(a.x + b.x) / 2, (a.y + b.y) / 2};
}

// A stroke through corners, all parts straight.
PenStroke corners(std::vector<Point> ends) {
  PenStroke stroke{{ends.front()}};
  for (size_t i = 1; i < ends.size(); ++i) {
    stroke.points.push_back(middle(ends[i - 1], ends[i]));
    stroke.points.push_back(ends[i]);
  }
  return stroke;
}

PenStroke curves(std::vector<Point> points) {
  return {std::move(points)};
}

// The same strokes turned by half a turn.
Outline turned(Outline outline) {
  for (PenStroke& stroke : outline) {
    for (Point& p : stroke.points) p = {-p.x, -p.y};
  }
  return outline;
}

Outline six() {
  return {curves({{0.42f, -0.95f},
                  {-0.56f, -0.82f},
                  {-0.58f, 0.32f},
                  {-0.58f, 1},
                  {0, 1},
                  {0.58f, 1},
                  {0.58f, 0.38f},
                  {0.55f, -0.22f},
                  {0, -0.2f},
                  {-0.5f, -0.16f},
                  {-0.58f, 0.36f}})};
}

std::array<std::vector<Outline>, kGlyphClasses> draw_all() {
  std::array<std::vector<Outline>, kGlyphClasses> all;
  all[0] = {{curves({{0, -1},
                     {0.62f, -1},
                     {0.62f, 0},
                     {0.62f, 1},
                     {0, 1},
                     {-0.62f, 1},
                     {-0.62f, 0},
                     {-0.62f, -1},
                     {0, -1}})}};
  const PenStroke one = corners({{-0.36f, -0.58f}, {0.06f, -1}, {0.06f, 1}});
  all[1] = {{one}, {one, corners({{-0.36f, 1}, {0.46f, 1}})}};
  all[2] = {{curves({{-0.56f, -0.52f},
                     {-0.5f, -1},
                     {0.02f, -1},
                     {0.58f, -0.98f},
                     {0.56f, -0.48f},
                     {0.52f, -0.06f},
                     {-0.58f, 0.98f}}),
             corners({{-0.58f, 0.98f}, {0.6f, 0.98f}})}};
  all[3] = {{curves({{-0.52f, -0.74f},
                     {-0.32f, -1},
                     {0, -1},
                     {0.54f, -0.98f},
                     {0.5f, -0.5f},
                     {0.44f, -0.06f},
                     {-0.12f, -0.06f},
                     {0.6f, -0.04f},
                     {0.58f, 0.48f},
                     {0.52f, 1},
                     {0, 1},
                     {-0.42f, 1},
                     {-0.58f, 0.64f}})}};
  const PenStroke crook = corners({{0.1f, -1}, {-0.6f, 0.36f}, {0.6f, 0.36f}});
  all[4] = {{corners({{0.24f, 1}, {0.24f, -1}, {-0.6f, 0.36f}, {0.62f, 0.36f}})},
            {crook, corners({{0.28f, -0.24f}, {0.28f, 1}})}};
  all[5] = {{corners({{0.5f, -1}, {-0.42f, -1}, {-0.48f, -0.1f}}), curves({{-0.48f, -0.1f},
                                                                           {-0.2f, -0.34f},
                                                                           {0.06f, -0.33f},
                                                                           {0.6f, -0.28f},
                                                                           {0.58f, 0.32f},
                                                                           {0.54f, 1},
                                                                           {-0.06f, 1},
                                                                           {-0.4f, 1},
                                                                           {-0.58f, 0.7f}})}};
  all[6] = {six()};
  const PenStroke seven =
      curves({{-0.58f, -0.98f}, {0, -0.98f}, {0.58f, -0.98f}, {-0.02f, -0.14f}, {-0.18f, 1}});
  all[7] = {{seven}, {seven, corners({{-0.32f, 0.02f}, {0.4f, 0.02f}})}};
  all[8] = {{curves({{0, -0.06f},
                     {-0.52f, -0.12f},
                     {-0.5f, -0.53f},
                     {-0.48f, -1},
                     {0, -1},
                     {0.48f, -1},
                     {0.5f, -0.53f},
                     {0.52f, -0.12f},
                     {0, -0.06f},
                     {0.62f, 0.02f},
                     {0.6f, 0.48f},
                     {0.56f, 1},
                     {0, 1},
                     {-0.56f, 1},
                     {-0.6f, 0.48f},
                     {-0.62f, 0.02f},
                     {0, -0.06f}})}};
  all[9] = {turned(six())};
  return all;
}

}  // namespace

std::span<const Outline> glyph_outlines(int digit) {
  LATHE_ASSERT(0 <= digit && digit < kGlyphClasses);
  static const std::array<std::vector<Outline>, kGlyphClasses> outlines = draw_all();
  return outlines[static_cast<size_t>(digit)];
}

}  // namespace lathe
