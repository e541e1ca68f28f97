#include "data/preview.h"

#include <algorithm>
#include <vector>

#include "data/picture.h"

namespace lathe {

void write_preview(const std::filesystem::path& path, const ImageSet& set, int64_t columns) {
  const int64_t bytes = set.width * set.channels, row = columns * bytes;
  Picture sheet{.height = set.classes * set.height,
                .width = columns * set.width,
                .channels = set.channels,
                .pixels = std::vector<uint8_t>(static_cast<size_t>(set.classes * set.height * row))};
  std::vector<int64_t> placed(static_cast<size_t>(set.classes));
  for (int64_t i = 0; i < set.size(); ++i) {
    const int64_t label = set.labels[static_cast<size_t>(i)];
    const int64_t column = placed[static_cast<size_t>(label)]++;
    if (column >= columns) continue;
    for (int64_t y = 0; y < set.height; ++y) {
      const uint8_t* from = set.image(i).data() + y * bytes;
      std::copy(from, from + bytes, sheet.pixels.data() + (label * set.height + y) * row + column * bytes);
    }
  }
  write_png(path, sheet);
}

}  // namespace lathe
