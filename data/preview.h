#pragma once
// A picture of a data set, to look at.

#include <cstdint>
#include <filesystem>

#include "data/image_set.h"

namespace lathe {

/// Writes a PNG with a row for each class of its first `columns` images. ShapeError unless images have one or
/// three channels.
void write_preview(const std::filesystem::path& path, const ImageSet& set, int64_t columns = 16);

}  // namespace lathe
