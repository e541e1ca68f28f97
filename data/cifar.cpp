#include "data/cifar.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/files.h"
#include "core/parallel.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSide = 32, kPlane = kSide * kSide, kChannels = 3;

struct LabelByte {
  std::string_view name;
  int64_t classes;
};

struct Format {
  std::string_view type;
  std::vector<LabelByte> labels;  // at the start of a record
  size_t wanted = 0;              // which of them to read
  std::string_view names_file;
  std::vector<std::string> train_files, test_files;

  int64_t record_bytes() const { return static_cast<int64_t>(labels.size()) + kChannels * kPlane; }
};

Format cifar10_format() {
  Format format{"cifar10", {{"label", 10}}, 0, "batches.meta.txt", {}, {"test_batch.bin"}};
  for (int i = 1; i <= 5; ++i) format.train_files.push_back(concat("data_batch_", i, ".bin"));
  return format;
}

Format cifar100_format(CifarLabels labels) {
  const bool fine = labels == CifarLabels::Fine;
  return {"cifar100",
          {{"coarse label", 20}, {"fine label", 100}},
          fine ? size_t{1} : size_t{0},
          fine ? "fine_label_names.txt" : "coarse_label_names.txt",
          {"train.bin"},
          {"test.bin"}};
}

// (3, 32, 32) planes to (32, 32, 3).
void interleave(const std::byte* planes, uint8_t* pixels) {
  for (int64_t i = 0; i < kPlane; ++i) {
    for (int64_t c = 0; c < kChannels; ++c) {
      pixels[kChannels * i + c] = std::to_integer<uint8_t>(planes[c * kPlane + i]);
    }
  }
}

void check_record(const Format& format, const std::byte* record, const fs::path& path, int64_t number) {
  for (size_t i = 0; i < format.labels.size(); ++i) {
    const int found = std::to_integer<int>(record[i]);
    const LabelByte& label = format.labels[i];
    LATHE_CHECK(DataError, found < label.classes, path.string(), ": record ", number, " at offset ",
                number * format.record_bytes(), ": ", label.name, " is ", found, ", expected 0 to ",
                label.classes - 1);
  }
}

// Appends at most `limit` records of a file.
void append_file(ImageSet& set, const Format& format, const fs::path& path, int64_t limit) {
  const int64_t record_bytes = format.record_bytes();
  const std::string expected = concat("records of ", record_bytes, " bytes");
  const std::vector<std::byte> bytes = read_source(path, expected);
  const int64_t size = static_cast<int64_t>(bytes.size());
  LATHE_CHECK(DataError, size > 0 && size % record_bytes == 0, path.string(), ": found ", size,
              " bytes, expected a positive multiple of ", record_bytes, " (", expected, "); ",
              size % record_bytes, " bytes are over");
  const int64_t first = set.size(), count = std::min(size / record_bytes, limit);
  set.labels.resize(static_cast<size_t>(first + count));
  set.pixels.resize(static_cast<size_t>((first + count) * set.image_bytes()));
  parallel_for(count, 256, [&](int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; ++i) {
      const std::byte* record = bytes.data() + i * record_bytes;
      check_record(format, record, path, i);
      set.labels[static_cast<size_t>(first + i)] = std::to_integer<int32_t>(record[format.wanted]);
      interleave(record + format.labels.size(), set.pixels.data() + (first + i) * set.image_bytes());
    }
  });
}

ImageSet read_files(const Format& format, const fs::path& root, std::string_view split, int64_t limit) {
  ImageSet set;
  set.type = format.type;
  set.split = split;
  set.height = set.width = kSide;
  set.channels = kChannels;
  set.classes = format.labels[format.wanted].classes;
  set.class_names = read_class_names(root / format.names_file, set.classes);
  const std::vector<std::string>& files = split == "train" ? format.train_files : format.test_files;
  for (const std::string& file : files) {
    if (set.size() >= limit) break;
    append_file(set, format, root / file, limit - set.size());
    // The others are as long as the first: no second copy while the vectors grow.
    const auto all = static_cast<size_t>(std::min(limit, set.size() * static_cast<int64_t>(files.size())));
    if (file == files.front()) {
      set.labels.reserve(all);
      set.pixels.reserve(all * static_cast<size_t>(set.image_bytes()));
    }
  }
  return set;
}

std::vector<std::byte> records(const ImageSet& set, int64_t lo, int64_t hi) {
  std::vector<std::byte> bytes;
  bytes.reserve(static_cast<size_t>((hi - lo) * (1 + kChannels * kPlane)));
  for (int64_t i = lo; i < hi; ++i) {
    bytes.push_back(static_cast<std::byte>(set.labels[static_cast<size_t>(i)]));
    const auto image = set.image(i);
    for (int64_t c = 0; c < kChannels; ++c) {
      for (int64_t p = 0; p < kPlane; ++p) {
        bytes.push_back(static_cast<std::byte>(image[static_cast<size_t>(kChannels * p + c)]));
      }
    }
  }
  return bytes;
}

void check_fits(const ImageSet& set, int64_t least) {
  LATHE_CHECK(ConfigError, set.sample() == Shape({kSide, kSide, kChannels}) && set.classes <= 10,
              "CIFAR-10's format holds images of (32, 32, 3) in at most 10 classes, found ", set.sample(),
              " in ", set.classes);
  LATHE_CHECK(ConfigError, set.size() >= least, "CIFAR-10's format needs at least ", least, " images in the ",
              set.split, " split, found ", set.size());
}

}  // namespace

ImageSet read_cifar10(const fs::path& root, std::string_view split, int64_t limit) {
  return read_files(cifar10_format(), root, split, limit);
}

ImageSet read_cifar100(const fs::path& root, std::string_view split, CifarLabels labels, int64_t limit) {
  return read_files(cifar100_format(labels), root, split, limit);
}

std::vector<fs::path> cifar10_files(const fs::path& root) {
  const Format format = cifar10_format();
  std::vector<fs::path> files = {root / format.names_file, root / format.test_files[0]};
  for (const std::string& name : format.train_files) files.push_back(root / name);
  return files;
}

void write_cifar10(const fs::path& root, const ImageSet& train, const ImageSet& test) {
  const Format format = cifar10_format();
  const int64_t files = static_cast<int64_t>(format.train_files.size());
  check_fits(train, files);
  check_fits(test, 1);
  std::error_code code;
  fs::create_directories(root, code);
  LATHE_CHECK(IoError, !code, root.string(), ": cannot create the folder: ", code.message());
  for (int64_t i = 0; i < files; ++i) {
    write_atomic(root / format.train_files[static_cast<size_t>(i)],
                 records(train, train.size() * i / files, train.size() * (i + 1) / files));
  }
  write_atomic(root / format.test_files[0], records(test, 0, test.size()));
  std::string names;
  for (const std::string& name : train.class_names) names += name + "\n";
  if (!names.empty()) write_atomic(root / format.names_file, names);
}

}  // namespace lathe
