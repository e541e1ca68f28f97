#include "data/image_set.h"

#include "core/hash.h"

namespace lathe {

std::string content_hash(const ImageSet& set) {
  std::vector<std::byte> labels;
  labels.reserve(4 * set.labels.size());
  for (const int32_t label : set.labels) {
    for (int shift = 0; shift < 32; shift += 8) {
      labels.push_back(static_cast<std::byte>(static_cast<uint32_t>(label) >> shift));
    }
  }
  Hash hash(hash_of(labels));
  hash.add(std::as_bytes(std::span(set.pixels)));
  return hash.hex();
}

}  // namespace lathe
