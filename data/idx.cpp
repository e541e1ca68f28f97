#include "data/idx.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "core/error.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kClasses = 10;
constexpr int64_t kMaxBytes = int64_t{1} << 32;

// One file's array of bytes: extents and the data behind its header.
struct IdxArray {
  fs::path path;
  std::vector<std::byte> file;
  std::vector<int64_t> extents;
  std::span<const std::byte> data;
};

// The first of the candidates, plain or gzipped, that is there.
fs::path find_file(const fs::path& root, const std::vector<std::string>& candidates) {
  std::string names;
  for (const std::string& name : candidates) {
    for (const char* ending : {"", ".gz"}) {
      std::error_code code;
      if (fs::exists(root / (name + ending), code)) return root / (name + ending);
      names += concat(names.empty() ? "" : ", ", name, ending);
    }
  }
  LATHE_THROW(DataError, (root / candidates.front()).string(), ": there is no such file; expected one of ",
              names, " in ", root.string());
}

uint32_t big_endian(const std::byte* p) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | std::to_integer<uint32_t>(p[i]);
  return value;
}

std::string hexadecimal(uint32_t value) {
  std::string text = "0x";
  for (int shift = 28; shift >= 0; shift -= 4) text.push_back("0123456789abcdef"[(value >> shift) & 15]);
  return text;
}

IdxArray read_array(const fs::path& path, uint32_t rank) {
  constexpr uint32_t kUnsignedBytes = 0x0800;
  IdxArray array{path, read_source(path, "an IDX file"), {}, {}};
  if (path.extension() == ".gz") array.file = gunzip(array.file, path, static_cast<size_t>(kMaxBytes));
  const std::string name = path.string();
  const size_t header = 4 + 4 * size_t{rank};
  const size_t size = array.file.size();
  LATHE_CHECK(DataError, size >= 4, name, ": found ", size, " bytes, expected an IDX header of ", header);
  const uint32_t magic = big_endian(array.file.data());
  LATHE_CHECK(DataError, magic == (kUnsignedBytes | rank), name, ": magic number at offset 0 is ",
              hexadecimal(magic), ", expected ", hexadecimal(kUnsignedBytes | rank), " (unsigned bytes, ",
              rank, rank == 1 ? " dimension)" : " dimensions)");
  LATHE_CHECK(DataError, size >= header, name, ": found ", size, " bytes, expected an IDX header of ",
              header);
  int64_t bytes = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    const int64_t extent = big_endian(array.file.data() + 4 + 4 * size_t{i});
    LATHE_CHECK(DataError, 0 < extent && extent <= kMaxBytes / bytes, name, ": dimension ", i, " at offset ",
                4 + 4 * i, " is ", extent, ", expected 1 to ", kMaxBytes / bytes);
    bytes *= extent;
    array.extents.push_back(extent);
  }
  const int64_t found = static_cast<int64_t>(size - header);
  LATHE_CHECK(DataError, found >= bytes, name, ": truncated: found ", found,
              " bytes of data behind the header, ", "expected ", bytes);
  LATHE_CHECK(DataError, found == bytes, name, ": ", found - bytes, " bytes follow the data's end at offset ",
              static_cast<int64_t>(header) + bytes, ", expected none");
  array.data = std::span(array.file).subspan(header);
  return array;
}

}  // namespace

ImageSet read_idx(const std::string& type, const fs::path& root, std::string_view split, int64_t limit) {
  const std::vector<std::string> prefixes =
      split == "train" ? std::vector<std::string>{"train"} : std::vector<std::string>{"t10k", "test"};
  const auto candidates = [&](const char* ending) {
    std::vector<std::string> names;
    for (const std::string& prefix : prefixes) names.push_back(prefix + ending);
    return names;
  };
  const IdxArray images = read_array(find_file(root, candidates("-images-idx3-ubyte")), 3);
  const IdxArray labels = read_array(find_file(root, candidates("-labels-idx1-ubyte")), 1);
  LATHE_CHECK(DataError, labels.extents[0] == images.extents[0], labels.path.string(), ": found ",
              labels.extents[0], " labels, expected ", images.extents[0], " as ", images.path.string(),
              " has images");
  ImageSet set;
  set.type = type;
  set.split = split;
  set.height = images.extents[1];
  set.width = images.extents[2];
  set.channels = 1;
  set.classes = kClasses;
  for (size_t i = 0; i < labels.data.size(); ++i) {
    const int32_t label = std::to_integer<int32_t>(labels.data[i]);
    LATHE_CHECK(DataError, label < kClasses, labels.path.string(), ": record ", i, " at offset ", 8 + i,
                ": label is ", label, ", expected 0 to ", kClasses - 1);
    set.labels.push_back(label);
  }
  set.labels.resize(static_cast<size_t>(std::min(limit, images.extents[0])));
  const std::span<const std::byte> kept =
      images.data.first(static_cast<size_t>(set.size() * set.image_bytes()));
  set.pixels.resize(kept.size());
  std::transform(kept.begin(), kept.end(), set.pixels.begin(),
                 [](std::byte b) { return static_cast<uint8_t>(b); });
  return set;
}

}  // namespace lathe
