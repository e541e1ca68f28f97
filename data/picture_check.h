#pragma once
// Is this a whole PNG or JPEG file? What decoders pass over in silence: cut files, wrong checksums.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace lathe {

struct PictureSize {
  int64_t height = 0, width = 0;
};

/// Walks a PNG file's chunks with their checksums up to IEND, or a JPEG file's segments up to the end of
/// image, and returns the size its header names. Bytes behind the end are allowed. DataError naming `source`
/// and what was found where, also for a picture of more than 2^27 pixels.
PictureSize check_picture(std::span<const std::byte> bytes, std::string_view source);

}  // namespace lathe
