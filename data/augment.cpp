#include "data/augment.h"

#include <algorithm>
#include <cstring>

#include "data/augments.h"

namespace lathe {

void Augment::crop(const PixelRect&, const ImageView<uint8_t>&, const Draws&) const {}
void Augment::before_normalize(const ImageView<uint8_t>&, const Draws&) const {}
void Augment::after_normalize(const ImageView<float>&, const Draws&) const {}
void Augment::on_batch(Batch&, uint64_t, uint32_t, int64_t) const {}

namespace {

struct PadCropOptions {
  int64_t pad = 4;
  void fields(FieldVisitor& v) {
    v.visit("pad", pad,
            {.doc = "black pixels added on every side before a crop of the old size", .min = 1, .max = 4096});
  }
};

// A crop of the padded image is the image shifted by (dy, dx) in [-pad, pad], black where nothing came in.
class PadCrop : public Augment {
 public:
  explicit PadCrop(const PadCropOptions& options) : pad_(options.pad) {}

  void before_normalize(const ImageView<uint8_t>& image, const Draws& draws) const override {
    const auto [dy, dx] = draw_shift(draws, pad_);
    // Rows move towards their source's side, so that none is overwritten before it was read.
    for (int64_t i = 0; i < image.height; ++i) {
      const int64_t y = dy >= 0 ? i : image.height - 1 - i;
      uint8_t* to = image.data + y * image.row();
      const int64_t from = y + dy;
      if (from < 0 || from >= image.height) {
        std::memset(to, 0, static_cast<size_t>(image.row()));
      } else {
        shift_row(to, image.data + from * image.row(), dx, image);
      }
    }
  }
  std::optional<ImageStep> step() const override { return ImageStep{ImageStepKind::Shift, pad_, 0}; }

 private:
  static void shift_row(uint8_t* to, const uint8_t* from, int64_t dx, const ImageView<uint8_t>& image) {
    const int64_t black = std::min(std::abs(dx), image.width), kept = image.width - black;
    const auto bytes = [&](int64_t pixels) { return static_cast<size_t>(pixels * image.channels); };
    if (dx >= 0) {
      std::memmove(to, from + bytes(black), bytes(kept));
      std::memset(to + bytes(kept), 0, bytes(black));
    } else {
      std::memmove(to + bytes(black), from, bytes(kept));
      std::memset(to, 0, bytes(black));
    }
  }

  int64_t pad_;
};

struct FlipOptions {
  double p = 0.5;
  void fields(FieldVisitor& v) {
    v.visit("p", p, {.doc = "chance of a left-right flip", .min = 0, .max = 1});
  }
};

class Flip : public Augment {
 public:
  explicit Flip(const FlipOptions& options) : p_(options.p) {}

  void before_normalize(const ImageView<uint8_t>& image, const Draws& draws) const override {
    if (!draw_flip(draws, p_)) return;
    for (int64_t y = 0; y < image.height; ++y) {
      uint8_t* left = image.data + y * image.row();
      uint8_t* right = left + image.row() - image.channels;
      for (; left < right; left += image.channels, right -= image.channels) {
        std::swap_ranges(left, left + image.channels, right);
      }
    }
  }
  std::optional<ImageStep> step() const override { return ImageStep{ImageStepKind::Flip, 0, p_}; }

 private:
  double p_;
};

struct CutoutOptions {
  int64_t size = 8;
  void fields(FieldVisitor& v) {
    v.visit("size", size,
            {.doc = "side in pixels of a square of the mean colour, its centre anywhere in the image",
             .min = 1,
             .max = 8192});
  }
};

// DeVries and Taylor 2017: the square is clipped at the border, and zero after normalisation is the mean
// colour.
class Cutout : public Augment {
 public:
  explicit Cutout(const CutoutOptions& options) : size_(options.size) {}

  void after_normalize(const ImageView<float>& image, const Draws& draws) const override {
    const PixelBox box = draw_square(draws, size_, image.height, image.width);
    for (int64_t y = box.top; y < box.bottom; ++y) {
      float* row = image.data + y * image.row();
      std::fill(row + box.left * image.channels, row + box.right * image.channels, 0.0f);
    }
  }
  std::optional<ImageStep> step() const override { return ImageStep{ImageStepKind::Square, size_, 0}; }

 private:
  int64_t size_;
};

}  // namespace

const AugmentRegistry& augment_registry() {
  static const AugmentRegistry registry(
      "augmentation",
      {random_resized_crop_augment(),
       augment_entry<PadCrop, PadCropOptions>("pad_crop", "random crop of the image padded with black"),
       augment_entry<Flip, FlipOptions>("flip", "random left-right flip"), color_jitter_augment(),
       rand_augment_augment(),
       augment_entry<Cutout, CutoutOptions>("cutout", "one random square becomes the mean colour"),
       random_erasing_augment(), mixup_augment(), cutmix_augment(), mixup_cutmix_augment()});
  return registry;
}

}  // namespace lathe
