#pragma once
// CIFAR-10 and CIFAR-100 in their binary version (Krizhevsky 2009, www.cs.toronto.edu/~kriz/cifar.html).

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "data/image_set.h"
#include "data/source.h"

namespace lathe {

/// Split "train" is data_batch_1.bin to data_batch_5.bin, "test" is test_batch.bin; class names come from
/// batches.meta.txt if it is there. A record is a label byte and 3 planes of 32 x 32 bytes: red, green, blue.
/// Files beyond the first `limit` samples are not opened. DataError: file, record, found, expected.
ImageSet read_cifar10(const std::filesystem::path& root, std::string_view split, int64_t limit = kNoLimit);

enum class CifarLabels : uint8_t { Fine, Coarse };
/// train.bin and test.bin. A record begins with a coarse label (of 20) and a fine one (of 100).
ImageSet read_cifar100(const std::filesystem::path& root, std::string_view split, CifarLabels labels,
                       int64_t limit = kNoLimit);

/// Writes both splits as CIFAR-10 files with class names, so that read_cifar10(root) gives them back. The
/// training images are cut into five files of nearly equal size. ConfigError unless images are 32x32 RGB,
/// there are at least five training images and one test image, and labels fit the format (at most 10
/// classes).
void write_cifar10(const std::filesystem::path& root, const ImageSet& train, const ImageSet& test);
/// The files that it writes.
std::vector<std::filesystem::path> cifar10_files(const std::filesystem::path& root);

}  // namespace lathe
