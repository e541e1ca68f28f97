#pragma once
// Augmentations of images: each a pure function of (seed, epoch, sample index).

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/batch.h"
#include "core/kernels/images_math.h"
#include "core/registry.h"
#include "data/pixels.h"

namespace lathe {

/// A step between the stored image and the batch. Each kind overrides the stage it works at; the stages run
/// in this order whatever the order in the list, and within a stage the list's order holds. Threads:
/// concurrent const use is safe.
class Augment {
 public:
  virtual ~Augment() = default;
  /// True when crop() makes the sample's pixels from the stored picture, which may have any size; one of a
  /// list can. Without one a picture of another size is scaled and cut to its centre (CentreCrop).
  virtual bool crops() const { return false; }
  virtual void crop(const PixelRect& from, const ImageView<uint8_t>& to, const Draws& draws) const;
  virtual void before_normalize(const ImageView<uint8_t>& image, const Draws& draws) const;
  virtual void after_normalize(const ImageView<float>& image, const Draws& draws) const;
  /// `batch` is whole; `number` counts batches in the epoch.
  virtual void on_batch(Batch& batch, uint64_t seed, uint32_t epoch, int64_t number) const;
  /// The same as a step of kernels::image_batch; empty where that has none.
  virtual std::optional<ImageStep> step() const { return {}; }
  /// True when targets must be (n, classes) probabilities.
  virtual bool mixes_labels() const { return false; }
};

/// "random_resized_crop", "pad_crop", "flip", "color_jitter", "rand_augment", "cutout", "random_erasing",
/// "mixup", "cutmix", "mixup_cutmix".
using AugmentRegistry = Registry<std::unique_ptr<Augment>>;
const AugmentRegistry& augment_registry();

/// x <- lambda x + (1 - lambda) x with the samples in reverse order, for inputs[0] and for targets[0], which
/// are f32 with the sample as first axis. The middle sample of an odd batch stays as it is.
void mix_batch(Batch& batch, float lambda);

/// The pixels of the box change places between samples in reverse order, in inputs[0]; targets[0] is mixed by
/// the box's share of the area.
void cut_batch(Batch& batch, const PixelBox& box);

/// A draw from Beta(alpha, alpha), alpha > 0: a pure function of the stream and `index`.
double sample_beta(const Philox& philox, int64_t index, double alpha);

}  // namespace lathe
