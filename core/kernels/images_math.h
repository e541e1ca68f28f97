#pragma once
// Augmentations of one image as scalar functions, one place for data/augment.cpp and for every device.

#include "core/hd.h"
#include "core/philox.h"

namespace lathe {

/// The random words that one augmentation of one sample may use, counted from 0 to kPerAugment - 1: words
/// 64 * index + kPerAugment * position + k of Philox{seed, "augment", epoch}.
class Draws {
 public:
  static constexpr int64_t kPerSample = 64, kPerAugment = 4, kMaxAugments = kPerSample / kPerAugment;

  LATHE_HD Draws(const Philox& philox, int64_t index, int64_t position)
      : philox_(philox), first_(static_cast<uint64_t>(kPerSample * index + kPerAugment * position)) {}
  LATHE_HD float uniform(int k) const { return philox_.uniform(first_ + static_cast<uint64_t>(k)); }
  /// In [0, n).
  LATHE_HD int64_t below(int k, int64_t n) const {
    return philox_.below(first_ + static_cast<uint64_t>(k), static_cast<uint32_t>(n));
  }
  LATHE_HD const Philox& philox() const { return philox_; }
  /// One for each sample and position.
  LATHE_HD int64_t number() const { return static_cast<int64_t>(first_ / kPerAugment); }

 private:
  Philox philox_;
  uint64_t first_;
};

/// Pixel (y, x) comes from (y + dy, x + dx).
struct PixelShift {
  int64_t dy, dx;
};
/// Each in [-pad, pad].
LATHE_HD inline PixelShift draw_shift(const Draws& draws, int64_t pad) {
  return {draws.below(0, 2 * pad + 1) - pad, draws.below(1, 2 * pad + 1) - pad};
}

/// True with chance p.
LATHE_HD inline bool draw_flip(const Draws& draws, double p) {
  return static_cast<double>(draws.uniform(0)) < p;
}

/// Pixels with top <= y < bottom and left <= x < right.
struct PixelBox {
  int64_t top, bottom, left, right;
};
/// A square with its centre anywhere in the image, clipped to it.
LATHE_HD inline PixelBox draw_square(const Draws& draws, int64_t size, int64_t height, int64_t width) {
  const int64_t top = draws.below(0, height) - size / 2, left = draws.below(1, width) - size / 2;
  const int64_t bottom = top + size, right = left + size;
  return {top < 0 ? 0 : top, bottom < height ? bottom : height, left < 0 ? 0 : left,
          right < width ? right : width};
}

enum class ImageStepKind : int32_t {
  Shift,   ///< by draw_shift(size), black where nothing came in
  Flip,    ///< left and right, by draw_flip(p)
  Square,  ///< draw_square(size) becomes zero after normalisation
};

struct ImageStep {
  ImageStepKind kind = ImageStepKind::Flip;
  int64_t size = 0;
  double p = 0;
};

/// The augmentations of an epoch: steps[i] draws the words of position i. A plain value.
struct ImagePlan {
  Philox philox;  ///< {seed, "augment", epoch}
  int32_t count = 0;
  ImageStep steps[Draws::kMaxAugments];
};

/// What a step drew for one image; the members that its kind has.
struct DrawnImageStep {
  ImageStepKind kind;
  bool flipped;
  PixelShift shift;
  PixelBox square;
};

/// Step i of the plan for sample `index`, (height, width) pixels.
LATHE_HD inline DrawnImageStep draw_step(const ImagePlan& plan, int i, int64_t index, int64_t height,
                                         int64_t width) {
  const ImageStep& step = plan.steps[i];
  const Draws draws(plan.philox, index, i);
  DrawnImageStep drawn{step.kind, false, {0, 0}, {0, 0, 0, 0}};
  if (step.kind == ImageStepKind::Shift) drawn.shift = draw_shift(draws, step.size);
  if (step.kind == ImageStepKind::Flip) drawn.flipped = draw_flip(draws, step.p);
  if (step.kind == ImageStepKind::Square) drawn.square = draw_square(draws, step.size, height, width);
  return drawn;
}

/// Moves (y, x) from the augmented image back to the stored one; false where it is black.
LATHE_HD inline bool find_source(const DrawnImageStep* steps, int count, int64_t height, int64_t width,
                                 int64_t& y, int64_t& x) {
  for (int i = count - 1; i >= 0; --i) {
    const DrawnImageStep& step = steps[i];
    if (step.kind == ImageStepKind::Flip && step.flipped) x = width - 1 - x;
    if (step.kind != ImageStepKind::Shift) continue;
    y += step.shift.dy;
    x += step.shift.dx;
    if (y < 0 || y >= height || x < 0 || x >= width) return false;
  }
  return true;
}

/// True where a square lies over pixel (y, x) of the augmented image.
LATHE_HD inline bool is_cut_out(const DrawnImageStep* steps, int count, int64_t y, int64_t x) {
  for (int i = 0; i < count; ++i) {
    const PixelBox& box = steps[i].square;
    if (y >= box.top && y < box.bottom && x >= box.left && x < box.right) return true;
  }
  return false;
}

}  // namespace lathe
