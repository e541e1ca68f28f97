#pragma once
// Image classification from memory: an ImageSet seen through normalisation and augmentation.

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "data/augment.h"
#include "data/common.h"
#include "data/dataset.h"
#include "data/image_set.h"
#include "data/resample.h"

namespace lathe {

/// Options of every image data set.
struct ImageOptions {
  Value normalize;  ///< null or {"mean": [...], "std": [...]}, one value a channel
  Value augment = Value::array();
  int64_t repeats = 1;  ///< see Dataset::repeats
  DataCommon common;
  void fields(FieldVisitor& v);
};

/// {"mean": [...], "std": [...]}
Value normalize_section(const std::vector<double>& mean, const std::vector<double>& std);

/// From bytes to network inputs: value x of channel c becomes (x / 255 - mean[c]) / std[c].
class Normalizer {
 public:
  Normalizer(const Value& section, const FieldPath& where, int64_t channels);
  void apply(const uint8_t* from, const ImageView<float>& to) const;
  /// What each byte becomes, of each channel.
  std::span<const std::array<float, 256>> tables() const { return tables_; }

 private:
  std::vector<std::array<float, 256>> tables_;  // one a channel
};

/// What happens to a sample on its way into a batch.
struct ImagePipeline {
  Normalizer normalizer;
  std::vector<std::unique_ptr<Augment>> augments;
  CentreCrop centre = {};  ///< where no augmentation crops
  bool mixes_labels = false;

  /// The training split is augmented, the test split is not; both sections are checked for both.
  ImagePipeline(const ImageOptions& options, const FieldPath& where, int64_t channels,
                std::string_view split);
  /// Uninitialised memory for n samples and their labels.
  Batch allocate(int64_t n, const Shape& sample, int64_t classes) const;
  /// Writes a stored picture and its label into place `slot`. `words`: of the seed and the epoch.
  void load(const PixelRect& stored, int32_t label, const Philox& words, int64_t index, Batch& batch,
            int64_t slot) const;
  void finish(Batch& batch, uint64_t seed, uint32_t epoch, int64_t number) const;

  /// The words of augmentations.
  static Philox words(uint64_t seed, uint32_t epoch) { return {seed, stream_id("augment"), epoch}; }

 private:
  void make_input(const PixelRect& stored, const Philox& words, int64_t index,
                  const ImageView<float>& input) const;
};

/// `options` with every default of its nested sections, as resolved.json has them.
void resolve_images(Value& section, const FieldPath& where);

class ImageDataset : public Dataset {
 public:
  /// Takes the first samples of `images` that the options' limit for its split allows.
  ImageDataset(ImageSet images, const ImageOptions& options, const FieldPath& where, uint64_t seed);

  int64_t size() const override { return images_.size(); }
  const DatasetInfo& info() const override { return info_; }
  int64_t repeats() const override { return repeats_; }
  Batch allocate(int64_t n) const override;
  void load(int64_t index, uint32_t epoch, Batch& batch, int64_t slot) const override;
  void finish(Batch& batch, uint32_t epoch, int64_t number) const override;
  /// Adds samples per class, and mean and standard deviation of each channel in [0, 1] before normalisation.
  Value describe() const override;

  const ImageSet* images() const override { return &images_; }
  std::unique_ptr<DeviceImages> on_device(Device device) const override;
  const Normalizer& normalizer() const { return pipeline_.normalizer; }
  /// An epoch's augmentations as kernels::image_batch takes them; empty where it cannot make them (mixup).
  std::optional<ImagePlan> plan(uint32_t epoch) const;

 private:
  ImageSet images_;
  ImagePipeline pipeline_;
  DatasetInfo info_;
  uint64_t seed_;
  int64_t repeats_ = 1;
};

}  // namespace lathe
