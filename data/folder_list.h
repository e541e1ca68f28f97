#pragma once
// The files of a split whose classes are folders.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace lathe {

struct FolderFile {
  std::filesystem::path path;
  uint64_t bytes = 0;
  int32_t label = 0;
};

struct FolderSplit {
  std::vector<std::string> classes;
  std::vector<FolderFile> files;  ///< the first of each class, then the second of each, ...
};

/// As open_image_folder says. DataError for a split without a folder or without classes, for a class without
/// pictures, and for splits of different classes.
FolderSplit list_folder_split(const std::filesystem::path& root, const std::string& split,
                              const std::string& test_folder);

}  // namespace lathe
