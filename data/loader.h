#pragma once
// Batches in a fixed order, prepared ahead by threads.

#include <cstdint>
#include <memory>

#include "data/dataset.h"

namespace lathe {

/// Samples of a shuffled epoch, the trainer's: all there are, but for the rounding of repeated augmentation.
int64_t samples_per_epoch(const Dataset& dataset);

struct LoaderOptions {
  int64_t batch = 128;
  bool shuffle = false;
  bool drop_last = false;
  uint64_t seed = 0;  ///< of the order: a permutation is a function of (seed, epoch)
  int prefetch = 2;   ///< batches prepared ahead, by so many threads; 0 prepares them in next()
  /// Batches are numbers of samples, inputs[0] (size) i64, and nothing is loaded (see DeviceImages).
  bool indices = false;
};

/// Order and contents depend on (seed, epoch) only, never on threads or timing. Batches recycle their memory:
/// after warm-up next() allocates no tensor. A tensor of which the caller keeps a handle is left to the
/// caller and replaced. Not copyable; used by one thread.
class Loader {
 public:
  /// `dataset` must outlive the loader.
  Loader(const Dataset& dataset, const LoaderOptions& options);
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  ~Loader();

  int64_t batches_per_epoch() const;
  /// Begins an epoch at batch `first` (for resuming in its middle).
  void start(uint32_t epoch, int64_t first = 0);
  /// Next batch of the epoch into `batch` (whose memory goes back to the loader); false at the end, and
  /// before the first start(). Rethrows what preparing the batch threw, which ends the epoch.
  bool next(Batch& batch);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lathe
