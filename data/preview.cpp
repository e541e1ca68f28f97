#include "data/preview.h"

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "core/files.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

namespace lathe {

void write_preview(const std::filesystem::path& path, const ImageSet& set, int64_t columns) {
  LATHE_CHECK(ShapeError, set.channels == 1 || set.channels == 3, "preview: images have ", set.channels,
              " channels, expected 1 or 3");
  const int64_t row = columns * set.width * set.channels;
  std::vector<uint8_t> sheet(static_cast<size_t>(set.classes * set.height * row));
  std::vector<int64_t> placed(static_cast<size_t>(set.classes));
  for (int64_t i = 0; i < set.size(); ++i) {
    const int64_t label = set.labels[static_cast<size_t>(i)];
    const int64_t column = placed[static_cast<size_t>(label)]++;
    if (column >= columns) continue;
    const int64_t bytes = set.width * set.channels;
    for (int64_t y = 0; y < set.height; ++y) {
      const uint8_t* from = set.image(i).data() + y * bytes;
      std::copy(from, from + bytes, sheet.data() + (label * set.height + y) * row + column * bytes);
    }
  }
  std::vector<std::byte> png;
  const auto append = [](void* context, void* data, int size) {
    const auto* bytes = static_cast<const std::byte*>(data);
    static_cast<std::vector<std::byte>*>(context)->insert(
        static_cast<std::vector<std::byte>*>(context)->end(), bytes, bytes + size);
  };
  const int ok = stbi_write_png_to_func(append, &png, static_cast<int>(columns * set.width),
                                        static_cast<int>(set.classes * set.height),
                                        static_cast<int>(set.channels), sheet.data(), static_cast<int>(row));
  LATHE_CHECK(OutOfMemoryError, ok != 0, "preview: out of memory");
  write_atomic(path, png);
}

}  // namespace lathe
