#include "data/canvas.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace lathe {
namespace {

constexpr float kFar = 1e9f;  // squared distance of a pixel that no segment reaches

float clamp01(float v) {
  return std::min(1.0f, std::max(0.0f, v));
}

// out[x] = min(out[x], squared distance of (x, y) to the segment) for x in [x0, x1).
void lower_distances(float* out, int64_t x0, int64_t x1, float y, const Segment& s) {
  const float dx = s.b.x - s.a.x, dy = s.b.y - s.a.y;
  const float length2 = dx * dx + dy * dy;
  const float inverse = length2 > 0 ? 1.0f / length2 : 0.0f;
  const float py = y - s.a.y;
  for (int64_t x = x0; x < x1; ++x) {
    const float px = static_cast<float>(static_cast<int32_t>(x)) - s.a.x;
    const float t = clamp01((px * dx + py * dy) * inverse);
    const float ex = px - t * dx, ey = py - t * dy;
    out[x] = std::min(out[x], ex * ex + ey * ey);
  }
}

}  // namespace

Canvas::Canvas(int64_t size)
    : size_(size),
      planes_(static_cast<size_t>(3 * size * size)),
      distance_(static_cast<size_t>(size * size)) {}

// Position along a gradient: 0 and 1 lie where the canvas' inscribed circle ends.
static float along(const Gradient& paint, int64_t x, int64_t y, int64_t size) {
  const float half = static_cast<float>(size) / 2;
  const float u = (static_cast<float>(x) + 0.5f) / half - 1, v = (static_cast<float>(y) + 0.5f) / half - 1;
  return clamp01((u * paint.direction.x + v * paint.direction.y + 1) / 2);
}

void Canvas::fill(const Gradient& paint) {
  for (int64_t y = 0; y < size_; ++y) {
    for (int64_t x = 0; x < size_; ++x) {
      const float t = along(paint, x, y, size_);
      for (size_t c = 0; c < 3; ++c) {
        plane(static_cast<int64_t>(c))[y * size_ + x] = paint.from[c] + t * (paint.to[c] - paint.from[c]);
      }
    }
  }
}

void Canvas::add_texture(std::span<const float> grid, int64_t cells) {
  const int64_t points = cells + 1;
  LATHE_ASSERT(static_cast<int64_t>(grid.size()) == 3 * points * points);
  const float scale = static_cast<float>(cells) / static_cast<float>(size_);
  for (int64_t c = 0; c < 3; ++c) {
    const float* g = grid.data() + c * points * points;
    for (int64_t y = 0; y < size_; ++y) {
      const float v = static_cast<float>(y) * scale;
      const int64_t j = static_cast<int64_t>(v);
      const float fy = v - static_cast<float>(j);
      for (int64_t x = 0; x < size_; ++x) {
        const float u = static_cast<float>(x) * scale;
        const int64_t i = static_cast<int64_t>(u);
        const float fx = u - static_cast<float>(i);
        const float* at = g + j * points + i;
        const float top = at[0] + fx * (at[1] - at[0]);
        const float bottom = at[points] + fx * (at[points + 1] - at[points]);
        plane(c)[y * size_ + x] += top + fy * (bottom - top);
      }
    }
  }
}

Canvas::Box Canvas::bounds(std::span<const Segment> segments, float margin) const {
  float x0 = kFar, x1 = -kFar, y0 = kFar, y1 = -kFar;
  for (const Segment& s : segments) {
    x0 = std::min({x0, s.a.x, s.b.x});
    x1 = std::max({x1, s.a.x, s.b.x});
    y0 = std::min({y0, s.a.y, s.b.y});
    y1 = std::max({y1, s.a.y, s.b.y});
  }
  const auto clip = [this](float v) {
    return static_cast<int64_t>(std::min(static_cast<float>(size_), std::max(0.0f, v)));
  };
  return {clip(x0 - margin), clip(x1 + margin + 1), clip(y0 - margin), clip(y1 + margin + 1)};
}

void Canvas::stroke(std::span<const Segment> segments, float half, float soft, float opacity,
                    const Gradient& paint) {
  const float reach = half + soft / 2;
  const Box box = bounds(segments, reach);
  for (int64_t y = box.y0; y < box.y1; ++y) {
    std::fill(&distance_[static_cast<size_t>(y * size_ + box.x0)],
              &distance_[static_cast<size_t>(y * size_)] + box.x1, kFar);
  }
  for (const Segment& s : segments) {
    const Box part = bounds({&s, 1}, reach);
    for (int64_t y = part.y0; y < part.y1; ++y) {
      lower_distances(&distance_[static_cast<size_t>(y * size_)], part.x0, part.x1, static_cast<float>(y), s);
    }
  }
  for (int64_t y = box.y0; y < box.y1; ++y) {
    for (int64_t x = box.x0; x < box.x1; ++x) {
      const int64_t at = y * size_ + x;
      const float squared = distance_[static_cast<size_t>(at)];
      if (squared >= reach * reach) continue;
      const float alpha = opacity * clamp01((reach - std::sqrt(squared)) / soft);
      const float t = along(paint, x, y, size_);
      for (size_t c = 0; c < 3; ++c) {
        float& v = plane(static_cast<int64_t>(c))[at];
        v += alpha * (paint.from[c] + t * (paint.to[c] - paint.from[c]) - v);
      }
    }
  }
}

void Canvas::write(std::span<const float> noise, uint8_t* pixels) const {
  LATHE_ASSERT(noise.size() == planes_.size());
  const size_t area = static_cast<size_t>(size_ * size_);
  for (size_t i = 0; i < area; ++i) {
    for (size_t c = 0; c < 3; ++c) {
      const float v = clamp01(planes_[c * area + i] + noise[3 * i + c]);
      pixels[3 * i + c] = static_cast<uint8_t>(v * 255.0f + 0.5f);
    }
  }
}

}  // namespace lathe
