#include "data/picture.h"

#include <algorithm>

#include "core/error.h"
#include "core/files.h"
#include "data/picture_check.h"

#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_FAILURE_USERMSG
#define STBI_MAX_DIMENSIONS 32768
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <stb/stb_image.h>
#include <stb/stb_image_resize.h>
#include <stb/stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace lathe {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 30;

}  // namespace

Picture decode_picture(std::span<const std::byte> bytes, std::string_view source, int64_t channels) {
  LATHE_CHECK(ShapeError, channels == 1 || channels == 3, source,
              ": a picture has 1 or 3 channels, expected ", channels);
  LATHE_CHECK(DataError, bytes.size() < static_cast<size_t>(kMostBytes), source, ": a picture of ",
              bytes.size(), " bytes, expected less than ", kMostBytes);
  check_picture(bytes, source);
  int width = 0, height = 0, found = 0;
  stbi_uc* pixels =
      stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(bytes.data()), static_cast<int>(bytes.size()),
                            &width, &height, &found, static_cast<int>(channels));
  LATHE_CHECK(DataError, pixels != nullptr, source,
              ": expected a PNG or JPEG picture: ", stbi_failure_reason());
  Picture picture{.height = height, .width = width, .channels = channels, .pixels = {}};
  try {
    picture.pixels.assign(pixels, pixels + int64_t{height} * width * channels);
  } catch (...) {
    stbi_image_free(pixels);
    throw;
  }
  stbi_image_free(pixels);
  return picture;
}

Picture read_picture(const std::filesystem::path& path, int64_t channels) {
  return decode_picture(read_bytes(path), path.string(), channels);
}

Picture fit_picture(const Picture& picture, int64_t height, int64_t width) {
  if (picture.height == height && picture.width == width) return picture;
  const double scale = std::max(static_cast<double>(height) / static_cast<double>(picture.height),
                                static_cast<double>(width) / static_cast<double>(picture.width));
  const auto scaled = [&](int64_t size, int64_t least) {
    return std::max(least, static_cast<int64_t>(static_cast<double>(size) * scale + 0.5));
  };
  const int64_t tall = scaled(picture.height, height), wide = scaled(picture.width, width);
  const int64_t c = picture.channels;
  std::vector<uint8_t> all(static_cast<size_t>(tall * wide * c));
  const bool same = tall == picture.height && wide == picture.width;  // a filter would blur it
  if (same) all = picture.pixels;
  const int ok =
      same ? 1
           : stbir_resize_uint8(picture.pixels.data(), static_cast<int>(picture.width),
                                static_cast<int>(picture.height), 0, all.data(), static_cast<int>(wide),
                                static_cast<int>(tall), 0, static_cast<int>(c));
  LATHE_CHECK(OutOfMemoryError, ok != 0, "picture: out of memory while scaling");
  Picture out{.height = height, .width = width, .channels = c, .pixels = {}};
  out.pixels.reserve(static_cast<size_t>(height * width * c));
  const int64_t top = (tall - height) / 2, left = (wide - width) / 2;
  for (int64_t y = 0; y < height; ++y) {
    const auto row = all.begin() + ((top + y) * wide + left) * c;
    out.pixels.insert(out.pixels.end(), row, row + width * c);
  }
  return out;
}

void write_png(const std::filesystem::path& path, const Picture& picture) {
  LATHE_CHECK(ShapeError, picture.channels == 1 || picture.channels == 3, path.string(), ": a picture has ",
              picture.channels, " channels, expected 1 or 3");
  std::vector<std::byte> png;
  const auto append = [](void* context, void* data, int size) {
    auto& out = *static_cast<std::vector<std::byte>*>(context);
    const auto* bytes = static_cast<const std::byte*>(data);
    out.insert(out.end(), bytes, bytes + size);
  };
  const int ok =
      stbi_write_png_to_func(append, &png, static_cast<int>(picture.width), static_cast<int>(picture.height),
                             static_cast<int>(picture.channels), picture.pixels.data(),
                             static_cast<int>(picture.width * picture.channels));
  LATHE_CHECK(OutOfMemoryError, ok != 0, path.string(), ": out of memory while writing");
  write_atomic(path, png);
}

}  // namespace lathe
