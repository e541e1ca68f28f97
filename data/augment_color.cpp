// Augmentations by operations on photographs: colour jitter and RandAugment.

#include <algorithm>
#include <cmath>
#include <utility>

#include "data/augments.h"
#include "data/photo_ops.h"
#include "data/words.h"

namespace lathe {
namespace {

using photo::Pixels;

struct JitterOptions {
  double brightness = 0.4, contrast = 0.4, saturation = 0.4;
  void fields(FieldVisitor& v) {
    constexpr const char* kDoc = "factors from max(0, 1 - this) to 1 + this";
    v.visit("brightness", brightness, {.doc = kDoc, .min = 0});
    v.visit("contrast", contrast, {.doc = kDoc, .min = 0});
    v.visit("saturation", saturation, {.doc = kDoc, .min = 0});
  }
};

// torchvision's ColorJitter without a hue: three factors, applied in a random order.
class ColorJitter : public Augment {
 public:
  explicit ColorJitter(const JitterOptions& o)
      : steps_{{&photo::brighten, o.brightness},
               {&photo::contrast, o.contrast},
               {&photo::saturate, o.saturation}} {}

  void before_normalize(const Pixels& image, const Draws& draws) const override {
    WordSequence words(draws);
    std::pair<Step, double> drawn[3];  // operation and factor
    for (size_t i = 0; i < 3; ++i) {
      const double strength = steps_[i].second;
      drawn[i] = {steps_[i].first, words.uniform(std::max(0.0, 1 - strength), 1 + strength)};
    }
    for (int64_t i = 2; i > 0; --i) std::swap(drawn[i], drawn[words.below(i + 1)]);
    for (const auto& [step, factor] : drawn) step(image, factor);
  }

 private:
  using Step = void (*)(const Pixels&, double);
  std::pair<Step, double> steps_[3];
};

struct RandAugmentOptions {
  int64_t ops = 2;
  double magnitude = 9, magnitude_std = 0.5, p = 0.5;
  bool increasing = true;
  std::string interpolation = "bicubic";
  std::vector<double> fill = {124, 116, 104};
  void fields(FieldVisitor& v) {
    v.visit("ops", ops, {.doc = "operations drawn for each sample, with replacement", .min = 1, .max = 16});
    v.visit("magnitude", magnitude, {.doc = "mean strength, of 10", .min = 0, .max = 10});
    v.visit("magnitude_std", magnitude_std, {.doc = "deviation of each operation's strength", .min = 0});
    v.visit("p", p, {.doc = "chance that a drawn operation is applied", .min = 0, .max = 1});
    v.visit("increasing", increasing, {.doc = "every operation grows with the magnitude (timm's inc1)"});
    v.visit("interpolation", interpolation,
            {.doc = "of rotated, sheared and moved pictures; random: one of the two each time",
             .choices = {"bilinear", "bicubic", "random"}});
    v.visit("fill", fill,
            {.doc = "value of each channel where nothing came in: 255 times the mean", .min = 0, .max = 255});
  }
};

// Cubuk et al. 2020 with timm's operations and magnitudes ("rand-m9-mstd0.5-inc1").
class RandAugment : public Augment {
 public:
  RandAugment(const RandAugmentOptions& options, const FieldPath& where) : options_(options) {
    if (options.fill.size() != 1 && options.fill.size() != 3)
      config_error(where / "fill", 0, concat("expected 1 or 3 values, found ", options.fill.size()));
    for (size_t c = 0; c < fill_.size(); ++c)
      fill_[c] = static_cast<uint8_t>(std::lround(options.fill[std::min(c, options.fill.size() - 1)]));
  }

  void before_normalize(const Pixels& image, const Draws& draws) const override {
    WordSequence words(draws);
    for (int64_t i = 0; i < options_.ops; ++i) {
      const int64_t op = words.below(kOps);
      const bool applied = words.chance(options_.p);
      const double m =
          std::clamp(options_.magnitude + options_.magnitude_std * words.normal(), 0.0, 10.0) / 10;
      const double sign = words.chance(0.5) ? -1 : 1;
      const bool linear =
          options_.interpolation == "random" ? words.chance(0.5) : options_.interpolation == "bilinear";
      if (!applied) continue;
      if (op < kShapes) {
        move(image, op, m * sign, linear ? Interpolation::Bilinear : Interpolation::Bicubic);
      } else {
        recolour(image, op, m, sign);
      }
    }
  }

 private:
  static constexpr int64_t kShapes = 5, kOps = 15;

  void move(const Pixels& image, int64_t op, double m, Interpolation interpolation) const {
    const double width = static_cast<double>(image.width), height = static_cast<double>(image.height);
    photo::Affine affine;
    if (op == 0) affine = photo::rotation(30 * m, image.height, image.width);
    if (op == 1) affine.b = 0.3 * m;
    if (op == 2) affine.d = 0.3 * m;
    if (op == 3) affine.c = 0.45 * m * width;
    if (op == 4) affine.f = 0.45 * m * height;
    photo::transform(image, affine, interpolation, fill_);
  }
  // `m` in [0, 1].
  void recolour(const Pixels& image, int64_t op, double m, double sign) const {
    const bool up = options_.increasing;
    const double factor = up ? 1 + 0.9 * m * sign : 0.1 + 1.8 * m;
    const int bits = static_cast<int>(4 * m), level = static_cast<int>(256 * m);
    switch (op - kShapes) {
      case 0:
        return photo::autocontrast(image);
      case 1:
        return photo::equalize(image);
      case 2:
        return photo::invert(image);
      case 3:
        return photo::posterize(image, up ? 4 - bits : bits);
      case 4:
        return photo::solarize(image, up ? 256 - level : level);
      case 5:
        return photo::solarize_add(image, static_cast<int>(110 * m));
      case 6:
        return photo::saturate(image, factor);
      case 7:
        return photo::contrast(image, factor);
      case 8:
        return photo::brighten(image, factor);
      default:
        return photo::sharpen(image, factor);
    }
  }

  RandAugmentOptions options_;
  photo::Fill fill_{};
};

}  // namespace

AugmentRegistry::Entry color_jitter_augment() {
  return augment_entry<ColorJitter, JitterOptions>("color_jitter",
                                                   "random brightness, contrast and saturation");
}

AugmentRegistry::Entry rand_augment_augment() {
  return augment_entry<RandAugment, RandAugmentOptions>(
      "rand_augment", "a few of 15 operations on photographs, each of random strength");
}

}  // namespace lathe
