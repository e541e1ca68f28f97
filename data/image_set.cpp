#include "data/image_set.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace lathe {

std::string content_hash(const ImageSet& set) {
  std::vector<uint8_t> labels;
  labels.reserve(4 * set.labels.size());
  for (const int32_t label : set.labels) {
    for (int shift = 0; shift < 32; shift += 8) {
      labels.push_back(static_cast<uint8_t>(static_cast<uint32_t>(label) >> shift));
    }
  }
  const uint64_t of_labels = XXH64(labels.data(), labels.size(), 0);
  const uint64_t hash = XXH64(set.pixels.data(), set.pixels.size(), of_labels);
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) text.push_back("0123456789abcdef"[(hash >> shift) & 15]);
  return text;
}

}  // namespace lathe
