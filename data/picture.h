#pragma once
// A picture from a PNG or JPEG file, and back.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace lathe {

/// pixels: (height, width, channels), 8 bits each.
struct Picture {
  int64_t height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels;
};

/// Decodes a PNG or JPEG picture as `channels` grey (1) or RGB (3) values a pixel; an alpha channel is
/// dropped, 16 bits become 8, CMYK becomes RGB. DataError naming `source` for anything else, for damaged data
/// (check_picture), and for sides over 2^15.
Picture decode_picture(std::span<const std::byte> bytes, std::string_view source, int64_t channels);
/// The same of a file; IoError when it cannot be read.
Picture read_picture(const std::filesystem::path& path, int64_t channels);

/// Scaled, its shape kept, to the smallest picture that covers height x width, and cut to its centre: what
/// evaluation does to photographs. A picture of that size is returned as it is.
Picture fit_picture(const Picture& picture, int64_t height, int64_t width);

/// Writes a PNG file atomically. ShapeError unless there are 1 or 3 channels.
void write_png(const std::filesystem::path& path, const Picture& picture);

}  // namespace lathe
