#include "data/glyphs.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/philox.h"
#include "data/canvas.h"
#include "data/glyph_outlines.h"

namespace lathe {
namespace {

// The difficulty of the task. Lengths in pixels, intensities in [0, 1]. Changing one changes the data set.
struct Range {
  float lo, hi;
};
constexpr Range kHalfHeight{8.0f, 12.5f};
constexpr Range kAspect{0.75f, 1.15f};
constexpr Range kTanHalfAngle{-0.23f, 0.23f};  // 26 degrees either way
constexpr Range kShear{-0.3f, 0.3f};
constexpr Range kShift{-4.0f, 4.0f};
constexpr Range kPointJitter{-0.08f, 0.08f};  // of a half height: no two digits are written alike
constexpr Range kHalfStroke{0.7f, 1.9f};
constexpr Range kSoftness{0.8f, 1.8f};
constexpr Range kContrast{0.2f, 0.6f};  // luminance between digit and background, either sign
constexpr Range kChroma{-0.22f, 0.22f};
constexpr Range kTexture{0.0f, 0.16f};
constexpr Range kNoise{0.0f, 0.22f};  // width of a triangular density, 0.41 of it is the standard deviation
constexpr float kNeighbourChance = 0.35f;
constexpr float kBlobChance = 0.45f;
constexpr float kCentre = (static_cast<float>(kGlyphSize) - 1) / 2;

// Pen strokes get this many straight parts for each curve.
constexpr int kCurveParts = 5;

constexpr uint64_t kNoiseBlock = uint64_t{1} << 16;  // beyond every block that Dice uses

// The words of one picture's stream, one after another.
class Dice {
 public:
  explicit Dice(const Philox& philox) : philox_(philox) {}

  uint32_t word() {
    if (used_ == 4) {
      block_ = philox_.block(next_++);
      used_ = 0;
    }
    return block_.word[used_++];
  }
  float in(Range range) { return range.lo + Philox::to_uniform(word()) * (range.hi - range.lo); }
  int below(uint32_t n) { return static_cast<int>((static_cast<uint64_t>(word()) * n) >> 32); }
  bool chance(float p) { return Philox::to_uniform(word()) < p; }

 private:
  Philox philox_;
  Philox::Block block_{};
  uint64_t next_ = 0;
  int used_ = 4;
};

// A turn by an angle whose half has the tangent t: no sine, no cosine, the same bits everywhere.
struct Turn {
  float cos, sin;
  explicit Turn(float t) : cos((1 - t * t) / (1 + t * t)), sin(2 * t / (1 + t * t)) {}
};

Point any_direction(Dice& dice) {
  const Turn turn(dice.in({-1, 1}));  // half of all directions, the sign gives the others
  const float sign = dice.chance(0.5f) ? 1.0f : -1.0f;
  return {sign * turn.cos, sign * turn.sin};
}

Colour colour(Dice& dice, float luminance) {
  Colour c;
  for (float& channel : c) channel = std::min(1.0f, std::max(0.0f, luminance + dice.in(kChroma)));
  return c;
}

Gradient paint(Dice& dice, float luminance) {
  const float slope = dice.in({-0.1f, 0.1f});
  const Colour from = colour(dice, luminance - slope);
  Colour to = colour(dice, luminance + slope);
  for (size_t c = 0; c < 3; ++c) to[c] = (to[c] + from[c]) / 2;
  return {from, to, any_direction(dice)};
}

// Where a digit stands: letter coordinates to pixels.
struct Placement {
  float xx, xy, yx, yy;
  Point centre;
  Point operator()(Point p) const { return {centre.x + xx * p.x + xy * p.y, centre.y + yx * p.x + yy * p.y}; }
};

Placement place(Dice& dice, float dx) {
  const float height = dice.in(kHalfHeight), width = height * dice.in(kAspect);
  const float shear = dice.in(kShear);
  const Turn turn(dice.in(kTanHalfAngle));
  const Point centre{kCentre + dx + dice.in(kShift), kCentre + dice.in(kShift)};
  return {turn.cos * width, (turn.cos * shear - turn.sin) * height, turn.sin * width,
          (turn.sin * shear + turn.cos) * height, centre};
}

std::vector<Segment> write_digit(Dice& dice, int digit, const Placement& at) {
  const auto outlines = glyph_outlines(digit);
  const Outline& outline = outlines[static_cast<size_t>(dice.below(static_cast<uint32_t>(outlines.size())))];
  std::vector<Segment> segments;
  for (const PenStroke& stroke : outline) {
    std::vector<Point> points;
    for (const Point& p : stroke.points) {
      const float jx = dice.in(kPointJitter), jy = dice.in(kPointJitter);
      points.push_back(at({p.x + jx, p.y + jy}));
    }
    Point pen = points.front();
    for (size_t i = 1; i + 1 < points.size(); i += 2) {
      const Point start = points[i - 1], control = points[i], end = points[i + 1];
      for (int part = 1; part <= kCurveParts; ++part) {
        const float t = static_cast<float>(part) / kCurveParts, s = 1 - t;
        const Point next{s * s * start.x + 2 * s * t * control.x + t * t * end.x,
                         s * s * start.y + 2 * s * t * control.y + t * t * end.y};
        segments.push_back({pen, next});
        pen = next;
      }
    }
  }
  return segments;
}

void draw_background(Dice& dice, Canvas& canvas, float luminance) {
  constexpr int64_t kCells = 4;
  canvas.fill(paint(dice, luminance));
  const float strength = dice.in(kTexture);
  std::array<float, 3 * (kCells + 1) * (kCells + 1)> grid;
  for (float& v : grid) v = dice.in({-strength, strength});
  canvas.add_texture(grid, kCells);
}

// Bent strokes anywhere.
void draw_scribbles(Dice& dice, Canvas& canvas, int count, Range half, Range opacity) {
  constexpr Range kAnywhere{-4, static_cast<float>(kGlyphSize) + 3};
  for (int i = 0; i < count; ++i) {
    const Point a{dice.in(kAnywhere), dice.in(kAnywhere)};
    const Point b{a.x + dice.in({-12, 12}), a.y + dice.in({-12, 12})};
    const Point c{b.x + dice.in({-8, 8}), b.y + dice.in({-8, 8})};
    const std::array<Segment, 2> segments{Segment{a, b}, Segment{b, c}};
    const float half_width = dice.in(half), alpha = dice.in(opacity);
    canvas.stroke(segments, half_width, 1.0f, alpha, paint(dice, dice.in({0, 1})));
  }
}

void draw_blob(Dice& dice, Canvas& canvas, Range radius) {
  constexpr Range kInside{0, static_cast<float>(kGlyphSize) - 1};
  const Point centre{dice.in(kInside), dice.in(kInside)};
  const std::array<Segment, 1> disc{Segment{centre, centre}};
  const float half = dice.in(radius);
  canvas.stroke(disc, half, 1.2f, dice.in({0.5f, 1}), paint(dice, dice.in({0, 1})));
}

void add_noise(const Philox& philox, float width, const Canvas& canvas, uint8_t* pixels) {
  std::array<float, 3 * kGlyphSize * kGlyphSize> noise;
  for (size_t i = 0; i < noise.size(); i += 8) {
    const Philox::Block block = philox.block(kNoiseBlock + i / 8);
    for (size_t k = 0; k < 8; ++k) {
      const uint32_t half = block.word[k / 2] >> (16 * (k % 2));
      const int32_t sum = static_cast<int32_t>(half & 255) + static_cast<int32_t>((half >> 8) & 255);
      noise[i + k] = width * (static_cast<float>(sum - 255) / 255.0f);
    }
  }
  canvas.write(noise, pixels);
}

void draw_picture(const Philox& philox, int digit, Canvas& canvas, uint8_t* pixels) {
  Dice dice(philox);
  const float contrast = dice.in(kContrast);
  // Both luminances in [0.08, 0.92]; the darker one is background or digit with equal chance.
  const float dark = dice.in({0.08f, 0.92f - contrast});
  const bool light_digit = dice.chance(0.5f);
  const float ink = light_digit ? dark + contrast : dark;
  const float ground = light_digit ? dark : dark + contrast;

  draw_background(dice, canvas, ground);
  if (dice.chance(kBlobChance)) draw_blob(dice, canvas, {2, 6});
  draw_scribbles(dice, canvas, 1 + dice.below(3), {0.4f, 1.5f}, {0.4f, 1.0f});
  const Gradient pen = paint(dice, ink);
  const float half = dice.in(kHalfStroke), soft = dice.in(kSoftness);
  for (const float side : {-1.0f, 1.0f}) {
    if (!dice.chance(kNeighbourChance)) continue;
    const float dx = side * dice.in({20, 25});
    const int neighbour = dice.below(kGlyphClasses);
    const Placement at = place(dice, dx);
    canvas.stroke(write_digit(dice, neighbour, at), half, soft, 1, pen);
  }
  const Placement at = place(dice, 0);
  canvas.stroke(write_digit(dice, digit, at), half, soft, 1, pen);
  draw_scribbles(dice, canvas, dice.below(3), {0.3f, 1.2f}, {0.5f, 1.0f});
  if (dice.chance(kBlobChance)) draw_blob(dice, canvas, {1, 3});
  add_noise(philox, dice.in(kNoise), canvas, pixels);
}

}  // namespace

ImageSet generate_glyphs(int64_t count, uint64_t seed, std::string_view split) {
  LATHE_CHECK(ConfigError, 0 <= count && count <= INT32_MAX, "glyphs: cannot draw ", count, " pictures");
  ImageSet set;
  set.type = "glyphs";
  set.split = split;
  set.height = set.width = kGlyphSize;
  set.channels = 3;
  set.classes = kGlyphClasses;
  for (int digit = 0; digit < kGlyphClasses; ++digit) set.class_names.push_back(std::to_string(digit));
  set.labels.resize(static_cast<size_t>(count));
  set.pixels.resize(static_cast<size_t>(count * set.image_bytes()));
  const uint32_t stream = stream_id(concat("glyphs.", split));
  parallel_for(count, 64, [&](int64_t lo, int64_t hi) {
    Canvas canvas(kGlyphSize);
    for (int64_t i = lo; i < hi; ++i) {
      const int digit = static_cast<int>(i % kGlyphClasses);
      set.labels[static_cast<size_t>(i)] = digit;
      draw_picture({seed, stream, static_cast<uint32_t>(i)}, digit, canvas,
                   set.pixels.data() + i * set.image_bytes());
    }
  });
  return set;
}

}  // namespace lathe
