#pragma once
// Music separation: a SoundSet as samples. Training sees stretches of tracks, evaluation whole tracks.

#include <memory>
#include <optional>

#include "data/common.h"
#include "data/dataset.h"
#include "data/sound_augment.h"
#include "data/sound_set.h"

namespace lathe {

/// Options of every data set of sound. Lengths in samples.
struct SoundOptions {
  int64_t samples = 441000;
  std::optional<int64_t> stride;
  std::optional<int64_t> segment;
  double overlap = 0.25;
  int64_t shifts = 0;
  Value augment = Value::array();
  DataCommon common;
  void fields(FieldVisitor& v);
};

/// A training sample is `samples` long, one every `stride` of each track. inputs[0] (n, T, C): the sum of the
/// sources; targets[0] (n, T, sources, C). Both are normalised: each track less its mean, by its deviation.
///
/// A test sample is a track, one a batch, its tensors as long as it is. inputs[0]: the track's own mixture,
/// normalised; inputs[1] (1, 2): by what mean and deviation; inputs[2]: the same mixture as it was recorded.
/// So is targets[0]: silence is all zeros, and a zero that was normalised and brought back often is none.
class SoundDataset : public Dataset {
 public:
  /// DataError when a track is too short for a training sample.
  SoundDataset(std::unique_ptr<SoundSet> set, const SoundOptions& options, const FieldPath& where,
               uint64_t seed);

  int64_t size() const override { return size_; }
  const DatasetInfo& info() const override { return info_; }
  Batch allocate(int64_t n) const override;
  void load(int64_t index, uint32_t epoch, Batch& batch, int64_t slot) const override;
  void finish(Batch& batch, uint32_t epoch, int64_t number) const override;
  Value describe() const override;
  const SoundSet& sounds() const { return *set_; }

 private:
  void load_stretch(int64_t index, uint32_t epoch, Batch& batch, int64_t slot) const;
  void load_track(size_t track, Batch& batch) const;
  int64_t stretches(const SoundTrack& track) const;

  std::unique_ptr<SoundSet> set_;
  SoundOptions options_;
  SoundAugments augments_;
  int64_t stride_ = 1;
  std::vector<int64_t> first_;  // number of each track's first training sample
  uint64_t seed_;
  int64_t size_ = 0;
  DatasetInfo info_;
};

/// Checks what the options of a section ask of a test split, fills in evaluation's batch and augmentations.
void resolve_sounds(Value& section, const FieldPath& where);

}  // namespace lathe
