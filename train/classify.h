#pragma once
// A trained classifier applied to pictures: from a packed file alone, without its data set.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/image_folder.h"
#include "data/images.h"
#include "data/picture.h"
#include "train/saved_run.h"

namespace lathe {

struct Guess {
  int64_t index = 0;  ///< of the class
  std::string name;   ///< of the class; its index where names are unknown
  double probability = 0;
};

/// Not for use by two threads at once; two classifiers are.
class Classifier {
 public:
  /// From a packed file or a run's folder. ConfigError when its model does not map pictures to classes, or
  /// when nothing says how its inputs are normalised; else as open_run().
  explicit Classifier(const std::filesystem::path& path, Device device = Device::cpu());

  /// The most probable classes, at most `count`, first the best; at equal logits the lower index first. The
  /// picture is fitted to the model's input as in evaluation, by fit_picture where its data set has pictures
  /// of one size, and normalised. ShapeError for a picture of other channels than the input's.
  std::vector<Guess> classify(const Picture& picture, int64_t count = 5);
  std::vector<Guess> classify(const std::filesystem::path& picture, int64_t count = 5);

  const Shape& input() const { return input_; }  ///< (H, W, C)

 private:
  Picture fit(const Picture& picture) const;

  SavedRun run_;
  std::unique_ptr<Model> model_;
  Shape input_;
  std::vector<std::string> names_;
  std::unique_ptr<Normalizer> normalizer_;
  std::optional<EvaluationInput> evaluation_;
};

}  // namespace lathe
