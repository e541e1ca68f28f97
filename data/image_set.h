#pragma once
// Labelled 8-bit images in memory, as a file or a generator gave them.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/shape.h"

namespace lathe {

/// Invariant (checked by ImageDataset): pixels.size() is labels.size() * height * width * channels and every
/// label is in [0, classes).
struct ImageSet {
  std::string type;   ///< registry name of the data set
  std::string split;  ///< "train" or "test"
  int64_t height = 0, width = 0, channels = 0;
  int64_t classes = 0;
  std::vector<std::string> class_names;  ///< empty when unknown
  std::vector<uint8_t> pixels;           ///< (size, height, width, channels)
  std::vector<int32_t> labels;           ///< (size)

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
  int64_t image_bytes() const { return height * width * channels; }
  Shape sample() const { return {height, width, channels}; }
  std::span<const uint8_t> image(int64_t index) const {
    return {pixels.data() + index * image_bytes(), static_cast<size_t>(image_bytes())};
  }
};

/// xxhash64 of the pixels, seeded with the xxhash64 of the labels as 32-bit little-endian integers; 16
/// hexadecimal digits.
std::string content_hash(const ImageSet& set);

}  // namespace lathe
