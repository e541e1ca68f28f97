// Augmentations of whole batches: mixup and cutmix.

#include <algorithm>
#include <cmath>

#include "data/augments.h"
#include "data/words.h"

namespace lathe {
namespace {

// Logarithm of a Gamma(alpha, 1) draw: Marsaglia and Tsang 2000; rejects at most one try in twenty, so that
// running out of words has a chance below 1e-100. For alpha < 1 a Gamma(alpha + 1) draw times u^(1/alpha)
// (section 6), which only logarithms can hold.
double log_gamma_draw(WordSequence& words, double alpha) {
  const double boost = alpha < 1 ? std::log(words.uniform()) / alpha : 0;
  const double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = words.normal(), root = 1 + c * x;
    const double u = words.uniform();
    if (root <= 0) continue;
    const double v = root * root * root;
    if (std::log(u) < 0.5 * x * x + d * (1 - v + std::log(v))) return std::log(d * v) + boost;
  }
}

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

struct Mixing {
  double mixup_alpha = 0, cutmix_alpha = 0;  // 0: never
  double switch_p = 0;                       // chance of cutmix where both are possible
  double p = 1;                              // chance that a batch is mixed
};

constexpr std::string_view kChanceDoc = "chance that a batch is mixed";

struct MixupOptions {
  double alpha = 0.2, p = 1;
  void fields(FieldVisitor& v) {
    v.visit(
        "alpha", alpha,
        {.doc = "samples are mixed with weight Beta(alpha, alpha), labels too", .min = 0, .above_min = true});
    v.visit("p", p, {.doc = kChanceDoc, .min = 0, .max = 1});
  }
  Mixing mixing() const { return {.mixup_alpha = alpha, .p = p}; }
};

struct CutmixOptions {
  double alpha = 1, p = 1;
  void fields(FieldVisitor& v) {
    v.visit(
        "alpha", alpha,
        {.doc = "a box of share 1 - Beta(alpha, alpha) comes from another sample, and so much of its label",
         .min = 0,
         .above_min = true});
    v.visit("p", p, {.doc = kChanceDoc, .min = 0, .max = 1});
  }
  Mixing mixing() const { return {.cutmix_alpha = alpha, .p = p}; }
};

struct BothOptions {
  double mixup_alpha = 0.8, cutmix_alpha = 1, switch_p = 0.5, p = 1;
  void fields(FieldVisitor& v) {
    v.visit("mixup_alpha", mixup_alpha, {.doc = "mixup's alpha", .min = 0, .above_min = true});
    v.visit("cutmix_alpha", cutmix_alpha, {.doc = "cutmix's alpha", .min = 0, .above_min = true});
    v.visit("switch_p", switch_p, {.doc = "chance of cutmix instead of mixup", .min = 0, .max = 1});
    v.visit("p", p, {.doc = kChanceDoc, .min = 0, .max = 1});
  }
  Mixing mixing() const { return {mixup_alpha, cutmix_alpha, switch_p, p}; }
};

// Zhang et al. 2018 and Yun et al. 2019 in timm's mode "batch": one weight for a whole batch, partners by
// reversing the batch's order.
template <class Options>
class MixBatch : public Augment {
 public:
  explicit MixBatch(const Options& options) : mixing_(options.mixing()) {}

  bool mixes_labels() const override { return true; }
  void on_batch(Batch& batch, uint64_t seed, uint32_t epoch, int64_t number) const override {
    WordSequence words({seed, stream_id("mix"), epoch}, number);
    const bool mixed = words.chance(mixing_.p), switched = words.chance(mixing_.switch_p);
    if (!mixed || batch.size < 2) return;
    const bool cut = mixing_.mixup_alpha == 0 || (mixing_.cutmix_alpha > 0 && switched);
    const double alpha = cut ? mixing_.cutmix_alpha : mixing_.mixup_alpha;
    const double lambda = sample_beta({seed, stream_id("mixup"), epoch}, number, alpha);
    if (!cut) return mix_batch(batch, static_cast<float>(lambda));
    cut_batch(batch, draw_box(words, batch.inputs.at(0), lambda));
  }

 private:
  static PixelBox draw_box(WordSequence& words, const Tensor& images, double lambda) {
    const int64_t height = images.dim(1), width = images.dim(2);
    const double side = std::sqrt(1 - lambda);
    const auto h = static_cast<int64_t>(static_cast<double>(height) * side);
    const auto w = static_cast<int64_t>(static_cast<double>(width) * side);
    const int64_t y = words.below(height), x = words.below(width);
    return {.top = std::max<int64_t>(0, y - h / 2),
            .bottom = std::min(height, y + h / 2),
            .left = std::max<int64_t>(0, x - w / 2),
            .right = std::min(width, x + w / 2)};
  }

  Mixing mixing_;
};

}  // namespace

double sample_beta(const Philox& philox, int64_t index, double alpha) {
  WordSequence words(philox, index);
  const double a = log_gamma_draw(words, alpha), b = log_gamma_draw(words, alpha);
  return 1 / (1 + std::exp(b - a));
}

void mix_batch(Batch& batch, float lambda) {
  mix_rows(batch.inputs.at(0), batch.size, lambda);
  mix_rows(batch.targets.at(0), batch.size, lambda);
}

void cut_batch(Batch& batch, const PixelBox& box) {
  Tensor& images = batch.inputs.at(0);
  const int64_t height = images.dim(1), row = images.dim(2) * images.dim(3), channels = images.dim(3);
  float* values = images.mut<float>();
  for (int64_t i = 0, j = batch.size - 1; i < j; ++i, --j) {
    for (int64_t y = box.top; y < box.bottom; ++y) {
      float* a = values + (i * height + y) * row;
      float* b = values + (j * height + y) * row;
      std::swap_ranges(a + box.left * channels, a + box.right * channels, b + box.left * channels);
    }
  }
  const int64_t area = (box.bottom - box.top) * (box.right - box.left);
  const double share = static_cast<double>(area) / static_cast<double>(height * images.dim(2));
  mix_rows(batch.targets.at(0), batch.size, static_cast<float>(1 - share));
}

AugmentRegistry::Entry mixup_augment() {
  return augment_entry<MixBatch<MixupOptions>, MixupOptions>(
      "mixup", "convex mixtures of pairs of samples and of their labels");
}

AugmentRegistry::Entry cutmix_augment() {
  return augment_entry<MixBatch<CutmixOptions>, CutmixOptions>(
      "cutmix", "boxes swapped between pairs of samples, labels mixed by area");
}

AugmentRegistry::Entry mixup_cutmix_augment() {
  return augment_entry<MixBatch<BothOptions>, BothOptions>("mixup_cutmix",
                                                           "each batch by mixup or by cutmix");
}

}  // namespace lathe
