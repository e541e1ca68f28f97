#pragma once
// A trained separation model applied to sound files: from a packed file alone, without its data set.

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/sound_file.h"
#include "layers/separation_model.h"
#include "train/saved_run.h"

namespace lathe {

struct SeparatorOptions {
  double segment_seconds = 10;  ///< separated at once: what memory follows
  double overlap = 0.25;        ///< share of a segment that the next one covers too
  int64_t shifts = 0;           ///< averages over this many shifts by up to half a second
  SampleFormat samples = SampleFormat::Int16;
  bool overwrite = false;
  std::function<void(double share)> progress = {};  ///< told after each segment, of [0, 1]
};

/// Not for use by two threads at once; two separators are.
class Separator {
 public:
  /// From a packed file or a run's folder. ConfigError when its model separates nothing, or when nothing says
  /// which sample rate it was trained at; else as open_run().
  explicit Separator(const std::filesystem::path& path, Device device = Device::cpu());

  /// Writes NAME.wav for each source into `folder`, at the model's rate and length for length, and returns
  /// the files. The song is read twice, a segment at a time. Another sample rate is converted; one channel
  /// serves a stereo model, several are averaged for a mono one. DataError for other channels or a file that
  /// cannot be read, IoError where files would be overwritten or cannot be written.
  std::vector<std::filesystem::path> separate(const std::filesystem::path& song,
                                              const std::filesystem::path& folder,
                                              const SeparatorOptions& options = {});

  const std::vector<std::string>& sources() const { return names_; }
  int64_t rate() const { return rate_; }

 private:
  SavedRun run_;
  std::unique_ptr<Model> model_;
  SeparationModel* separates_ = nullptr;
  std::vector<std::string> names_;
  int64_t rate_ = 0;
};

/// True when the model of a packed file or a run separates sound.
bool separates_sound(const SavedRun& run);

}  // namespace lathe
