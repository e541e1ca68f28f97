#pragma once
// A data set as training sees it: numbered samples that are pure functions of (seed, epoch, index).

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/batch.h"
#include "core/registry.h"

namespace lathe {

class DeviceImages;
struct ImageSet;

/// What a data set's targets are for; it decides the task (train/tasks.h).
enum class DataTask {
  Classification,  ///< class indices, or their probabilities
  Regression,      ///< values
  Language,        ///< the token that follows each token
  Separation,      ///< the sources of a mixture
};

/// How sound is evaluated; lengths in samples.
struct SoundInfo {
  int64_t rate = 0;       ///< samples a second
  int64_t segment = 0;    ///< separated at once; 0: whole tracks
  double overlap = 0.25;  ///< share of a segment that the next one covers too
  int64_t shifts = 0;     ///< averages over this many shifts; 0: none
};

struct DatasetInfo {
  std::string type;   ///< registry name
  std::string split;  ///< "train" or "test"
  DataTask task = DataTask::Classification;
  Shape sample;  ///< of one input: pictures (H, W, C), text (T), sound (T, channels)
  int64_t classes = 0;
  std::vector<std::string> class_names;  ///< empty when unknown; of the sources for separation
  std::string content_hash;  ///< of the samples in use, unaugmented; hexadecimal; goes into environment.json
  SoundInfo sound = {};      ///< of separation
  Value tokenizer = {};      ///< of texts, Vocabulary::to_value(); else null
};

/// Threads: concurrent const use is safe.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  virtual const DatasetInfo& info() const = 0;
  /// Repeated augmentation (Hoffer et al. 2020): a shuffled epoch takes each of its samples so many times in
  /// a row, each time as load() gives it for another epoch.
  virtual int64_t repeats() const { return 1; }
  /// Uninitialised memory for n samples, targets included.
  virtual Batch allocate(int64_t n) const = 0;
  /// Writes sample `index`, augmented as epoch `epoch` wants it, into place `slot`.
  virtual void load(int64_t index, uint32_t epoch, Batch& batch, int64_t slot) const = 0;
  /// Work on a whole batch after its samples are loaded (mixup); `number` counts batches in the epoch.
  virtual void finish(Batch& batch, uint32_t epoch, int64_t number) const;
  /// What `lathe data describe` shows: the info, and what a kind of data set knows beyond it.
  virtual Value describe() const;
  /// What is formally right but suspicious, for `lathe data check`.
  virtual std::vector<std::string> oddities() const { return {}; }
  /// What was left out of the files because it is damaged: what is wrong with each, the file named.
  virtual std::vector<std::string> left_out() const { return {}; }
  /// The images themselves where this is a set of images in memory, else null.
  virtual const ImageSet* images() const { return nullptr; }
  /// The same samples made on a device from a copy of the set there (data/device_images.h); null where that
  /// cannot be done or the set is too large.
  virtual std::unique_ptr<DeviceImages> on_device(Device device) const;
};

struct DataSplits {
  std::unique_ptr<Dataset> train;  ///< augmented
  std::unique_ptr<Dataset> test;   ///< normalised only
};

/// Data sets by their name in experiment files. Building reads and checks the files: DataError names file,
/// record, found and expected. The argument is the run's seed.
using DataRegistry = Registry<DataSplits, uint64_t>;
const DataRegistry& data_registry();

/// The same data sets, one split at a time ("train" or "test"), where only that split is wanted or there.
using SplitRegistry = Registry<std::unique_ptr<Dataset>, std::string, uint64_t>;
const SplitRegistry& split_registry();

}  // namespace lathe
