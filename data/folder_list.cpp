#include "data/folder_list.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "core/error.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

bool hidden(const fs::path& path) {
  return path.filename().string().starts_with('.');
}

bool is_picture(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  constexpr std::array<std::string_view, 3> kKnown{".png", ".jpg", ".jpeg"};
  return std::find(kKnown.begin(), kKnown.end(), extension) != kKnown.end();
}

/// Entries of a folder; IoError where it cannot be read.
fs::directory_iterator entries_of(const fs::path& folder) {
  std::error_code code;
  fs::directory_iterator entries(folder, code);
  LATHE_CHECK(IoError, !code, folder.string(), ": cannot be read: ", code.message());
  return entries;
}

std::vector<std::string> classes_of(const fs::path& folder) {
  std::vector<std::string> classes;
  for (const fs::directory_entry& entry : entries_of(folder)) {
    std::error_code code;
    if (!hidden(entry.path()) && entry.is_directory(code))
      classes.push_back(entry.path().filename().string());
  }
  LATHE_CHECK(DataError, !classes.empty(), folder.string(),
              ": found no folder in it, expected one for each class");
  std::sort(classes.begin(), classes.end());
  return classes;
}

/// A link to nothing, too: a picture that cannot be read is damaged, not absent.
bool is_file(const fs::directory_entry& entry) {
  std::error_code code;
  return entry.is_regular_file(code) || (entry.is_symlink(code) && !entry.exists(code));
}

std::vector<FolderFile> pictures_of(const fs::path& folder, int32_t label) {
  std::vector<FolderFile> files;
  std::string other;
  for (const fs::directory_entry& entry : entries_of(folder)) {
    if (hidden(entry.path()) || !is_file(entry)) continue;
    if (is_picture(entry.path())) {
      std::error_code unreadable;
      const auto bytes = entry.file_size(unreadable);
      files.push_back({entry.path(), unreadable ? 0 : bytes, label});
    } else {
      other = entry.path().filename().string();
    }
  }
  LATHE_CHECK(DataError, !files.empty(), folder.string(),
              ": a class without pictures, expected .png, .jpg or .jpeg files",
              other.empty() ? "" : concat(", found '", other, "'"));
  std::sort(files.begin(), files.end(),
            [](const FolderFile& a, const FolderFile& b) { return a.path.native() < b.path.native(); });
  return files;
}

bool is_folder(const fs::path& path) {
  std::error_code code;
  return fs::is_directory(path, code);
}

fs::path split_folder(const fs::path& root, const std::string& split, const std::string& test_folder) {
  if (split == "train") return root / "train";
  if (!test_folder.empty()) return root / test_folder;
  return is_folder(root / "test") ? root / "test" : root / "val";
}

void check_same_classes(const fs::path& folder, const std::vector<std::string>& found, const fs::path& train,
                        const std::vector<std::string>& expected) {
  const auto missing_from = [](const std::vector<std::string>& from, const std::vector<std::string>& wanted) {
    return std::find_if(wanted.begin(), wanted.end(), [&](const std::string& name) {
      return !std::binary_search(from.begin(), from.end(), name);
    });
  };
  const auto unknown = missing_from(expected, found), missing = missing_from(found, expected);
  LATHE_CHECK(DataError, unknown == found.end(), folder.string(), ": class folder '", *unknown,
              "' is not in ", train.string(), ", which has ", expected.size(), " classes");
  LATHE_CHECK(DataError, missing == expected.end(), folder.string(), ": found ", found.size(),
              " class folders, '", *missing, "' of ", train.string(), " is missing; expected the same ",
              expected.size());
}

}  // namespace

FolderSplit list_folder_split(const fs::path& root, const std::string& split,
                              const std::string& test_folder) {
  const fs::path folder = split_folder(root, split, test_folder), train = root / "train";
  LATHE_CHECK(DataError, is_folder(folder), folder.string(), ": there is no such folder; expected ",
              split == "train" ? "train/CLASS/*.jpg" : "test/CLASS/*.jpg or val/CLASS/*.jpg", " below ",
              root.string());
  FolderSplit result;
  result.classes = classes_of(folder);
  if (split != "train" && is_folder(train))
    check_same_classes(folder, result.classes, train, classes_of(train));
  std::vector<std::vector<FolderFile>> by_class;
  size_t most = 0;
  for (size_t c = 0; c < result.classes.size(); ++c) {
    by_class.push_back(pictures_of(folder / result.classes[c], static_cast<int32_t>(c)));
    most = std::max(most, by_class.back().size());
  }
  for (size_t i = 0; i < most; ++i) {
    for (std::vector<FolderFile>& files : by_class) {
      if (i < files.size()) result.files.push_back(std::move(files[i]));
    }
  }
  return result;
}

}  // namespace lathe
