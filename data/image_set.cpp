#include "data/image_set.h"

#define XXH_INLINE_ALL
#include <array>
#include <memory>

#include <xxhash.h>

#include "core/error.h"

namespace lathe {

std::string content_hash(const ImageSet& set) {
  const std::unique_ptr<XXH64_state_t, decltype(&XXH64_freeState)> state(XXH64_createState(),
                                                                         &XXH64_freeState);
  LATHE_CHECK(OutOfMemoryError, state != nullptr, "content hash: out of memory");
  XXH64_reset(state.get(), 0);
  for (const int32_t label : set.labels) {
    const uint32_t x = static_cast<uint32_t>(label);
    const std::array<uint8_t, 4> bytes{static_cast<uint8_t>(x), static_cast<uint8_t>(x >> 8),
                                       static_cast<uint8_t>(x >> 16), static_cast<uint8_t>(x >> 24)};
    XXH64_update(state.get(), bytes.data(), bytes.size());
  }
  XXH64_update(state.get(), set.pixels.data(), set.pixels.size());
  const uint64_t hash = XXH64_digest(state.get());
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) text.push_back("0123456789abcdef"[(hash >> shift) & 15]);
  return text;
}

}  // namespace lathe
