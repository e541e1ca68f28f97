#pragma once
// MNIST and its relatives in IDX files (LeCun et al. 1998, yann.lecun.com/exdb/mnist), plain or gzipped.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "data/image_set.h"
#include "data/source.h"

namespace lathe {

/// Split "train" is train-images-idx3-ubyte and train-labels-idx1-ubyte, split "test" the same with t10k or
/// test in place of train; each may end in .gz. All grey levels, labels 0 to 9. Files are checked whole; the
/// first `limit` images are kept. `type` is the registry's name of the data set.
ImageSet read_idx(const std::string& type, const std::filesystem::path& root, std::string_view split,
                  int64_t limit = kNoLimit);

}  // namespace lathe
