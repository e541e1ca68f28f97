// Augmentations that draw a rectangle: random crops of any size and shape, and random erasing.

#include <algorithm>
#include <cmath>
#include <optional>

#include "data/augments.h"
#include "data/resample.h"
#include "data/words.h"

namespace lathe {
namespace {

constexpr int kTries = 10;

struct CropOptions {
  std::vector<double> scale = {0.08, 1};
  std::vector<double> ratio = {3.0 / 4, 4.0 / 3};
  std::string interpolation = "bilinear";
  void fields(FieldVisitor& v) {
    v.visit(
        "scale", scale,
        {.doc = "smallest and largest share of the picture's area", .min = 0, .max = 1, .above_min = true});
    v.visit(
        "ratio", ratio,
        {.doc = "smallest and largest width / height, drawn by its logarithm", .min = 0, .above_min = true});
    v.visit("interpolation", interpolation,
            {.doc = "of the crop, scaled to the sample's size", .choices = {"bilinear", "bicubic"}});
  }
};

struct Rectangle {
  int64_t top = 0, left = 0, height = 0, width = 0;
};

// A size of this area and a ratio of sides between the two, drawn by its logarithm.
Rectangle draw_size(WordSequence& words, double area, const std::vector<double>& ratio) {
  const double tall = std::exp(words.uniform(std::log(ratio[0]), std::log(ratio[1])));
  return {.height = static_cast<int64_t>(std::nearbyint(std::sqrt(area * tall))),
          .width = static_cast<int64_t>(std::nearbyint(std::sqrt(area / tall)))};
}

// Szegedy et al. 2015, in torchvision's form: after ten tries that do not fit, the largest part in the middle
// whose shape is allowed.
class RandomResizedCrop : public Augment {
 public:
  RandomResizedCrop(const CropOptions& options, const FieldPath& where) : options_(options) {
    check_range(options.scale, where / "scale");
    check_range(options.ratio, where / "ratio");
    if (options.interpolation == "bicubic") interpolation_ = Interpolation::Bicubic;
  }

  bool crops() const override { return true; }
  void crop(const PixelRect& from, const ImageView<uint8_t>& to, const Draws& draws) const override {
    const Rectangle r = draw(from, draws);
    resize(from.part(r.top, r.left, r.height, r.width), {.height = to.height, .width = to.width},
           interpolation_, to);
  }

 private:
  Rectangle draw(const PixelRect& from, const Draws& draws) const {
    WordSequence words(draws);
    const double area = static_cast<double>(from.height * from.width);
    for (int i = 0; i < kTries; ++i) {
      // draw_size's ratio is height / width.
      Rectangle r = draw_size(words, area * words.uniform(options_.scale[0], options_.scale[1]),
                              {1 / options_.ratio[1], 1 / options_.ratio[0]});
      if (r.height < 1 || r.width < 1 || r.height > from.height || r.width > from.width) continue;
      r.top = words.below(from.height - r.height + 1);
      r.left = words.below(from.width - r.width + 1);
      return r;
    }
    return middle(from);
  }
  Rectangle middle(const PixelRect& from) const {
    const double height = static_cast<double>(from.height), width = static_cast<double>(from.width);
    Rectangle r{.height = from.height, .width = from.width};
    if (width / height < options_.ratio[0])
      r.height = std::clamp<int64_t>(std::lround(width / options_.ratio[0]), 1, from.height);
    if (width / height > options_.ratio[1])
      r.width = std::clamp<int64_t>(std::lround(height * options_.ratio[1]), 1, from.width);
    r.top = (from.height - r.height) / 2;
    r.left = (from.width - r.width) / 2;
    return r;
  }

  CropOptions options_;
  Interpolation interpolation_ = Interpolation::Bilinear;
};

struct ErasingOptions {
  double p = 0.25;
  std::vector<double> area = {0.02, 1.0 / 3};
  std::vector<double> ratio = {0.3, 1 / 0.3};
  void fields(FieldVisitor& v) {
    v.visit("p", p, {.doc = "chance that a rectangle becomes noise", .min = 0, .max = 1});
    v.visit("area", area,
            {.doc = "smallest and largest share of the image", .min = 0, .max = 1, .above_min = true});
    v.visit(
        "ratio", ratio,
        {.doc = "smallest and largest height / width, drawn by its logarithm", .min = 0, .above_min = true});
  }
};

// Zhong et al. 2020, in timm's mode "pixel": each value of the rectangle is drawn from N(0, 1) after
// normalisation.
class RandomErasing : public Augment {
 public:
  RandomErasing(const ErasingOptions& options, const FieldPath& where) : options_(options) {
    check_range(options.area, where / "area");
    check_range(options.ratio, where / "ratio");
  }

  void after_normalize(const ImageView<float>& image, const Draws& draws) const override {
    const std::optional<Rectangle> r = draw(image, draws);
    if (!r) return;
    const Philox noise{draws.philox().seed, stream_id("augment noise"), draws.philox().step};
    // Room for the words of 2^26 pixels' channels.
    uint64_t block = static_cast<uint64_t>(draws.number()) << 26;
    for (int64_t y = r->top; y < r->top + r->height; ++y) {
      float* value = image.data + y * image.row() + r->left * image.channels;
      float* const end = value + r->width * image.channels;
      while (value < end) {
        const Philox::Block words = noise.block(block++);
        for (int pair = 0; pair < 4 && value < end; pair += 2) {  // Box and Muller: two normals of two words
          const double radius = std::sqrt(-2 * std::log((words.word[pair] + 0.5) * 0x1p-32));
          const double angle = 2 * 3.14159265358979323846 * (words.word[pair + 1] * 0x1p-32);
          *value++ = static_cast<float>(radius * std::cos(angle));
          if (value < end) *value++ = static_cast<float>(radius * std::sin(angle));
        }
      }
    }
  }

 private:
  std::optional<Rectangle> draw(const ImageView<float>& image, const Draws& draws) const {
    WordSequence words(draws);
    if (!words.chance(options_.p)) return {};
    const double area = static_cast<double>(image.height * image.width);
    for (int i = 0; i < kTries; ++i) {
      Rectangle r =
          draw_size(words, area * words.uniform(options_.area[0], options_.area[1]), options_.ratio);
      if (r.height < 1 || r.width < 1 || r.height >= image.height || r.width >= image.width) continue;
      r.top = words.below(image.height - r.height + 1);
      r.left = words.below(image.width - r.width + 1);
      return r;
    }
    return {};
  }

  ErasingOptions options_;
};

}  // namespace

void check_range(const std::vector<double>& range, const FieldPath& where) {
  if (range.size() != 2) config_error(where, 0, concat("expected two numbers, found ", range.size()));
  if (range[0] > range[1])
    config_error(where, 0, concat("expected the smaller number first, found ", range[0], " and ", range[1]));
}

AugmentRegistry::Entry random_resized_crop_augment() {
  return augment_entry<RandomResizedCrop, CropOptions>(
      "random_resized_crop", "a random part of the picture, scaled to the sample's size as Pillow does");
}

AugmentRegistry::Entry random_erasing_augment() {
  return augment_entry<RandomErasing, ErasingOptions>("random_erasing", "one random rectangle becomes noise");
}

}  // namespace lathe
