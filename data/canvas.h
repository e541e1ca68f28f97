#pragma once
// A small renderer for drawn shapes: strokes and discs by their signed distance, antialiased.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace lathe {

struct Point {
  float x = 0, y = 0;
};
struct Segment {
  Point a, b;
};
using Colour = std::array<float, 3>;  ///< 0 is black, 1 is full intensity

/// A colour that changes linearly from `from` to `to` along `direction` over the whole canvas.
struct Gradient {
  Colour from{}, to{};
  Point direction{1, 0};  ///< of length 1
};

/// Square RGB image in floats, drawn from back to front. Coordinates are pixels: the centre of the first one
/// is (0, 0), y points down. Uses +, -, *, / and square roots only, so that a picture is the same everywhere.
class Canvas {
 public:
  explicit Canvas(int64_t size);

  void fill(const Gradient& paint);
  /// Adds a smooth pattern: `grid` holds (cells+1)^2 values per channel, interpolated over the canvas.
  void add_texture(std::span<const float> grid, int64_t cells);
  /// Strokes of half width `half` around the segments; edges fade over `soft` pixels; `opacity` in [0, 1].
  void stroke(std::span<const Segment> segments, float half, float soft, float opacity,
              const Gradient& paint);
  /// Rounds to 8 bits after adding `noise` ((size, size, 3), in intensity), into (size, size, 3) bytes.
  void write(std::span<const float> noise, uint8_t* pixels) const;

  int64_t size() const { return size_; }

 private:
  struct Box {
    int64_t x0, x1, y0, y1;  // half open
  };
  Box bounds(std::span<const Segment> segments, float margin) const;
  float* plane(int64_t channel) { return planes_.data() + channel * size_ * size_; }

  int64_t size_;
  std::vector<float> planes_;    // (3, size, size)
  std::vector<float> distance_;  // (size, size), squared; scratch of stroke()
};

}  // namespace lathe
