#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "core/error.h"

namespace lathe {

void Augment::before_normalize(const ImageView<uint8_t>&, const Draws&) const {}
void Augment::after_normalize(const ImageView<float>&, const Draws&) const {}
void Augment::on_batch(Batch&, uint64_t, uint32_t, int64_t) const {}

namespace {

struct PadCropOptions {
  int64_t pad = 4;
  void fields(FieldVisitor& v) {
    v.visit("pad", pad, {.doc = "black pixels added on every side before a crop of the old size", .min = 1});
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
    v.visit(
        "size", size,
        {.doc = "side in pixels of a square of the mean colour, its centre anywhere in the image", .min = 1});
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

struct MixupOptions {
  double alpha = 0.2;
  void fields(FieldVisitor& v) {
    v.visit(
        "alpha", alpha,
        {.doc = "samples are mixed with weight Beta(alpha, alpha), labels too", .min = 0, .above_min = true});
  }
};

// Zhang et al. 2018, one weight for a whole batch, partners by reversing the batch's order.
class Mixup : public Augment {
 public:
  explicit Mixup(const MixupOptions& options) : alpha_(options.alpha) {}

  bool mixes_labels() const override { return true; }
  void on_batch(Batch& batch, uint64_t seed, uint32_t epoch, int64_t number) const override {
    const Philox philox{seed, stream_id("mixup"), epoch};
    mix_batch(batch, static_cast<float>(sample_beta(philox, number, alpha_)));
  }

 private:
  double alpha_;
};

// The words of one draw from a Beta density.
class BetaWords {
 public:
  BetaWords(const Philox& philox, int64_t index)
      : philox_(philox), next_(kWords * static_cast<uint64_t>(index)), end_(next_ + kWords) {}

  /// In (0, 1).
  double uniform() {
    LATHE_ASSERT(next_ < end_);
    return (static_cast<double>(philox_.word(next_++)) + 0.5) * 0x1p-32;
  }
  double normal() {  // Box and Muller
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(2 * 3.14159265358979323846 * uniform());
  }
  /// Logarithm of a Gamma(alpha, 1) draw: Marsaglia and Tsang 2000; rejects at most one try in twenty. For
  /// alpha < 1 a Gamma(alpha + 1) draw times u^(1/alpha) (section 6), which only logarithms can hold.
  double log_gamma_draw(double alpha) {
    const double boost = alpha < 1 ? std::log(uniform()) / alpha : 0;
    const double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
    for (;;) {
      const double x = normal(), root = 1 + c * x;
      const double u = uniform();
      if (root <= 0) continue;
      const double v = root * root * root;
      if (std::log(u) < 0.5 * x * x + d * (1 - v + std::log(v))) return std::log(d * v) + boost;
    }
  }

 private:
  static constexpr uint64_t kWords = 256;  // more than 80 tries: running out has a chance below 1e-100
  Philox philox_;
  uint64_t next_, end_;
};

void mix_rows(Tensor& tensor, int64_t size, float lambda) {
  const int64_t row = size == 0 ? 0 : tensor.numel() / tensor.dim(0);
  float* values = tensor.mut<float>();
  for (int64_t i = 0, j = size - 1; i < j; ++i, --j) {
    float* a = values + i * row;
    float* b = values + j * row;
    for (int64_t k = 0; k < row; ++k) {
      const float x = a[k], y = b[k];
      a[k] = lambda * x + (1 - lambda) * y;
      b[k] = lambda * y + (1 - lambda) * x;
    }
  }
}

template <class Kind, class Options>
AugmentRegistry::Entry entry(std::string name, std::string doc) {
  return make_entry<std::unique_ptr<Augment>>(
      std::move(name), std::move(doc), Options{},
      [](const Options& options) { return std::make_unique<Kind>(options); });
}

}  // namespace

double sample_beta(const Philox& philox, int64_t index, double alpha) {
  BetaWords words(philox, index);
  const double a = words.log_gamma_draw(alpha), b = words.log_gamma_draw(alpha);
  return 1 / (1 + std::exp(b - a));
}

void mix_batch(Batch& batch, float lambda) {
  mix_rows(batch.inputs.at(0), batch.size, lambda);
  mix_rows(batch.targets.at(0), batch.size, lambda);
}

const AugmentRegistry& augment_registry() {
  static const AugmentRegistry registry(
      "augmentation",
      {entry<PadCrop, PadCropOptions>("pad_crop", "random crop of the image padded with black"),
       entry<Flip, FlipOptions>("flip", "random left-right flip"),
       entry<Cutout, CutoutOptions>("cutout", "one random square becomes the mean colour"),
       entry<Mixup, MixupOptions>("mixup", "convex mixtures of pairs of samples and of their labels")});
  return registry;
}

}  // namespace lathe
