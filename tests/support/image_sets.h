#pragma once
// Small sets of images for tests.

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/json.h"
#include "data/images.h"

namespace lathe::tests {

/// n images of h x w; value k of image i is (37 i + k) mod 251 + 1, so that black is only what padding
/// brought.
inline ImageSet some_images(int64_t n, int64_t h, int64_t w, int64_t channels = 3,
                            const char* split = "train") {
  ImageSet set{"test", split, h, w, channels, 10, {}, {}, {}};
  for (int64_t i = 0; i < n; ++i) {
    set.labels.push_back(static_cast<int32_t>(i % 10));
    for (int64_t k = 0; k < set.image_bytes(); ++k)
      set.pixels.push_back(static_cast<uint8_t>((37 * i + k) % 251 + 1));
  }
  return set;
}

/// `options` is the text of a section "data".
inline ImageDataset dataset(ImageSet images, const std::string& options, uint64_t seed = 1) {
  const FieldPath where{"exp.json", "data"};
  ImageOptions read;
  read_fields(read, parse_json(options, "exp.json"), where);
  return {std::move(images), read, where, seed};
}

/// The samples as the host's pipeline makes them.
inline Batch loaded(const ImageDataset& data, std::span<const int64_t> indices, uint32_t epoch) {
  Batch batch = data.allocate(static_cast<int64_t>(indices.size()));
  for (size_t i = 0; i < indices.size(); ++i) data.load(indices[i], epoch, batch, static_cast<int64_t>(i));
  return batch;
}

/// A section "data" with these augmentations, and tables that differ by channel.
inline std::string section(int64_t channels, const std::vector<std::string>& augments) {
  std::vector<double> mean, std;
  for (int64_t c = 0; c < channels; ++c) {
    mean.push_back(0.1 * static_cast<double>(c + 1));
    std.push_back(0.3 + static_cast<double>(c));
  }
  Value list = Value::array();
  for (const std::string& augment : augments) list.push_back(parse_json(augment, "exp.json"));
  return to_json(Value::object({{"normalize", normalize_section(mean, std)}, {"augment", list}}));
}

}  // namespace lathe::tests
