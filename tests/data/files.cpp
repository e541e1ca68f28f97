// Readers of data set files: what they read, and every way a file can be wrong.

#include "core/files.h"

#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <zlib.h>

#include "core/error.h"
#include "data/cifar.h"
#include "data/idx.h"
#include "tests/support/scratch.h"

using lathe::CifarLabels;
using lathe::DataError;
using lathe::ImageSet;
using lathe::read_cifar10;
using lathe::read_cifar100;
using lathe::read_idx;
using lathe::tests::ScratchFolder;

namespace {

namespace fs = std::filesystem;
using Bytes = std::string;

void put(const fs::path& path, const Bytes& bytes) {
  lathe::write_atomic(path, bytes);
}

Bytes gzipped(const Bytes& bytes, const fs::path& scratch) {
  const gzFile file = gzopen(scratch.c_str(), "wb");
  REQUIRE(file != nullptr);
  REQUIRE(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())) == static_cast<int>(bytes.size()));
  REQUIRE(gzclose(file) == Z_OK);
  Bytes out = lathe::read_text(scratch);
  fs::remove(scratch);
  return out;
}

Bytes big_endian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

// A record whose planes hold `first`, `first` + 1, `first` + 2.
Bytes cifar_record(const std::vector<int>& labels, int first) {
  Bytes bytes;
  for (const int label : labels) bytes.push_back(static_cast<char>(label));
  for (int c = 0; c < 3; ++c) bytes.append(1024, static_cast<char>(first + c));
  return bytes;
}

void put_cifar10(const fs::path& root) {
  for (int i = 1; i <= 5; ++i) {
    put(root / lathe::concat("data_batch_", i, ".bin"), cifar_record({i}, 10 * i) + cifar_record({9}, 100));
  }
  put(root / "test_batch.bin", cifar_record({0}, 0));
}

Bytes idx_images(uint32_t n, uint32_t h, uint32_t w) {
  Bytes bytes = big_endian(0x0803) + big_endian(n) + big_endian(h) + big_endian(w);
  for (uint32_t i = 0; i < n * h * w; ++i) bytes.push_back(static_cast<char>(i));
  return bytes;
}

Bytes idx_labels(const std::vector<int>& labels) {
  Bytes bytes = big_endian(0x0801) + big_endian(static_cast<uint32_t>(labels.size()));
  for (const int label : labels) bytes.push_back(static_cast<char>(label));
  return bytes;
}

void put_idx(const fs::path& root) {
  put(root / "train-images-idx3-ubyte", idx_images(3, 4, 5));
  put(root / "train-labels-idx1-ubyte", idx_labels({7, 0, 9}));
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const DataError& error) {
    return error.what();
  }
  return "no DataError";
}

// One way to spoil a folder, and what the message must say besides the file's path.
struct Spoilt {
  const char* name;
  const char* file;
  std::function<void(const fs::path& file)> spoil;
  std::vector<std::string> says;
};

void check_all(const std::vector<Spoilt>& cases, const std::function<void(const fs::path&)>& lay_out,
               const std::function<ImageSet(const fs::path&)>& read) {
  for (const Spoilt& spoilt : cases) {
    CAPTURE(spoilt.name);
    const ScratchFolder folder;
    lay_out(folder.path());
    CHECK_NOTHROW(read(folder.path()));
    const fs::path file = folder / spoilt.file;
    spoilt.spoil(file);
    const std::string message = error_of([&] { read(folder.path()); });
    CAPTURE(message);
    CHECK(message.find(file.string()) != std::string::npos);
    for (const std::string& part : spoilt.says) CHECK(message.find(part) != std::string::npos);
  }
}

void remove_file(const fs::path& file) {
  fs::remove(file);
}
auto overwrite(const Bytes& bytes) {
  return [bytes](const fs::path& file) { put(file, bytes); };
}

}  // namespace

TEST_SUITE_BEGIN("data");

TEST_CASE("cifar10: records become interleaved pixels") {
  const ScratchFolder folder;
  put_cifar10(folder.path());
  const ImageSet train = read_cifar10(folder.path(), "train");
  CHECK(train.size() == 10);
  CHECK(train.sample() == lathe::Shape({32, 32, 3}));
  CHECK(train.labels == std::vector<int32_t>{1, 9, 2, 9, 3, 9, 4, 9, 5, 9});
  CHECK(train.class_names.empty());
  CHECK(train.image(4)[0] == 30);
  CHECK(train.image(4)[1] == 31);
  CHECK(train.image(4)[3071] == 32);
  CHECK(read_cifar10(folder.path(), "test").size() == 1);

  put(folder / "batches.meta.txt", "a\nb\r\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  CHECK(read_cifar10(folder.path(), "train").class_names.at(1) == "b");
  fs::remove(folder / "data_batch_3.bin");
  CHECK(read_cifar10(folder.path(), "train", 3).labels == std::vector<int32_t>{1, 9, 2});
}

TEST_CASE("cifar10: malformed files") {
  const Bytes good = cifar_record({3}, 1);
  check_all(
      {{"missing", "data_batch_4.bin", remove_file, {"there is no such file", "records of 3073 bytes"}},
       {"a folder",
        "data_batch_1.bin",
        [](const fs::path& file) {
          fs::remove(file);
          fs::create_directory(file);
        },
        {"not a regular file"}},
       {"empty", "data_batch_2.bin", overwrite(""), {"found 0 bytes", "multiple of 3073"}},
       {"one byte over", "data_batch_2.bin", overwrite(good + "x"), {"found 3074", "1 bytes are over"}},
       {"truncated", "data_batch_5.bin", overwrite(good.substr(1)), {"found 3072 bytes", "3073"}},
       {"label out of range",
        "data_batch_2.bin",
        overwrite(good + good + cifar_record({10}, 0)),
        {"record 2 at offset 6146", "label is 10", "expected 0 to 9"}},
       {"class names", "batches.meta.txt", overwrite("cat\ndog\n"), {"found 2 class names", "expected 10"}}},
      put_cifar10, [](const fs::path& root) { return read_cifar10(root, "train"); });
}

TEST_CASE("cifar100: both labels are checked, one is read") {
  const auto lay_out = [](const fs::path& root) {
    put(root / "train.bin", cifar_record({19, 99}, 0) + cifar_record({3, 42}, 5));
    put(root / "test.bin", cifar_record({0, 1}, 0));
  };
  const ScratchFolder folder;
  lay_out(folder.path());
  const ImageSet fine = read_cifar100(folder.path(), "train", CifarLabels::Fine);
  CHECK(fine.labels == std::vector<int32_t>{99, 42});
  CHECK(fine.classes == 100);
  CHECK(fine.image(1)[0] == 5);
  const ImageSet coarse = read_cifar100(folder.path(), "train", CifarLabels::Coarse);
  CHECK(coarse.labels == std::vector<int32_t>{19, 3});
  CHECK(coarse.classes == 20);
  check_all(
      {{"coarse",
        "train.bin",
        overwrite(cifar_record({20, 0}, 0)),
        {"record 0 at offset 0: coarse label is 20"}},
       {"fine", "train.bin", overwrite(cifar_record({0, 100}, 0)), {"fine label is 100, expected 0 to 99"}},
       {"size", "train.bin", overwrite(cifar_record({0}, 0)), {"found 3073 bytes", "3074"}},
       {"missing", "train.bin", remove_file, {"there is no such file"}}},
      lay_out, [](const fs::path& root) { return read_cifar100(root, "train", CifarLabels::Fine); });
}

TEST_CASE("cifar10: what is written is read back") {
  ImageSet train{"any", "train", 32, 32, 3, 10, {}, {}, {}};
  for (int i = 0; i < 7; ++i) {
    train.labels.push_back(i);
    for (int k = 0; k < 3072; ++k) train.pixels.push_back(static_cast<uint8_t>(i * 31 + k));
  }
  ImageSet test = train;
  test.split = "test";
  const ScratchFolder folder;
  write_cifar10(folder / "deep/er", train, test);
  const ImageSet read = read_cifar10(folder / "deep/er", "train");
  CHECK(read.pixels == train.pixels);
  CHECK(read.labels == train.labels);
  CHECK(lathe::content_hash(read) == lathe::content_hash(train));
  CHECK(read_cifar10(folder / "deep/er", "test").pixels == test.pixels);
  ImageSet small = train;
  small.labels.resize(4);
  small.pixels.resize(4 * 3072);
  CHECK_THROWS_AS(write_cifar10(folder.path(), small, test), lathe::ConfigError);
}

TEST_CASE("idx: plain and gzipped files, either name of the test split") {
  const ScratchFolder folder;
  put_idx(folder.path());
  const ImageSet train = read_idx("mnist", folder.path(), "train");
  CHECK(train.sample() == lathe::Shape({4, 5, 1}));
  CHECK(train.labels == std::vector<int32_t>{7, 0, 9});
  CHECK(train.pixels[59] == 59);
  CHECK(read_idx("mnist", folder.path(), "train", 2).pixels.size() == 40);

  const Bytes images = gzipped(idx_images(2, 4, 5), folder / "x"),
              labels = gzipped(idx_labels({1, 2}), folder / "x");
  for (const char* prefix : {"test", "t10k"}) {
    put(folder / (std::string(prefix) + "-images-idx3-ubyte.gz"), images);
    put(folder / (std::string(prefix) + "-labels-idx1-ubyte.gz"), labels);
    CHECK(read_idx("mnist", folder.path(), "test").labels == std::vector<int32_t>{1, 2});
  }
}

TEST_CASE("idx: malformed files") {
  const Bytes images = idx_images(3, 4, 5);
  const char* file = "train-images-idx3-ubyte";
  const char* labels = "train-labels-idx1-ubyte";
  const auto header = [](uint32_t n, uint32_t h, uint32_t w) {
    return overwrite(big_endian(0x0803) + big_endian(n) + big_endian(h) + big_endian(w) + "data");
  };
  check_all(
      {{"missing", file, remove_file, {"there is no such file", "train-images-idx3-ubyte.gz"}},
       {"labels missing", labels, remove_file, {"there is no such file"}},
       {"empty", file, overwrite(""), {"found 0 bytes", "header of 16"}},
       {"header cut", file, overwrite(images.substr(0, 15)), {"found 15 bytes", "header of 16"}},
       {"wrong magic",
        file,
        overwrite(big_endian(0x0801) + images.substr(4)),
        {"0x00000801", "expected 0x00000803"}},
       {"truncated", file, overwrite(images.substr(0, 75)), {"truncated: found 59", "expected 60"}},
       {"trailing bytes", file, overwrite(images + "abc"), {"3 bytes follow the data's end at offset 76"}},
       {"no images", file, header(0, 4, 5), {"dimension 0 at offset 4 is 0"}},
       {"overflow",
        file,
        header(0xffffffff, 0xffffffff, 0xffffffff),
        {"dimension 1 at offset 8 is 4294967295"}},
       {"count", labels, overwrite(idx_labels({1, 2})), {"found 2 labels, expected 3", file}},
       {"label out of range",
        labels,
        overwrite(idx_labels({1, 2, 10})),
        {"record 2 at offset 10: label is 10, expected 0 to 9"}}},
      put_idx, [](const fs::path& root) { return read_idx("mnist", root, "train"); });
}

TEST_CASE("idx: damaged gzip files") {
  const char* file = "train-images-idx3-ubyte.gz";
  const auto lay_out = [](const fs::path& root) {
    put(root / "train-labels-idx1-ubyte", idx_labels({7, 0, 9}));
    put(root / "train-images-idx3-ubyte.gz", gzipped(idx_images(3, 4, 5), root / "x"));
  };
  const auto change = [](const std::function<Bytes(Bytes)>& how) {
    return [how](const fs::path& path) { put(path, how(lathe::read_text(path))); };
  };
  check_all({{"not gzip", file, overwrite(idx_images(3, 4, 5)), {"not gzip", "1f 8b"}},
             {"empty", file, overwrite(""), {"not gzip"}},
             {"cut", file, change([](Bytes b) { return b.substr(0, b.size() / 2); }), {"ends early"}},
             {"cut in its trailer",
              file,
              change([](Bytes b) { return b.substr(0, b.size() - 1); }),
              {"ends early"}},
             {"checksum",
              file,
              change([](Bytes b) {
                b[b.size() - 6] = static_cast<char>(b[b.size() - 6] ^ 1);
                return b;
              }),
              {"incorrect data check"}},
             {"length",
              file,
              change([](Bytes b) {
                b[b.size() - 1] = static_cast<char>(b[b.size() - 1] ^ 1);
                return b;
              }),
              {"incorrect length check"}},
             {"trailing bytes", file, change([](Bytes b) { return b + "xy"; }), {"2 bytes follow"}}},
            lay_out, [](const fs::path& root) { return read_idx("mnist", root, "train"); });
  const ScratchFolder folder;
  const Bytes zeros = gzipped(Bytes(1 << 20, '\0'), folder / "x");
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(zeros.data()), zeros.size());
  CHECK(lathe::gunzip(bytes, "z.gz", 1 << 20).size() == 1 << 20);
  CHECK_THROWS_WITH_AS(lathe::gunzip(bytes, "z.gz", 1000), "z.gz: expands to more than 1000 bytes",
                       DataError);
}

TEST_CASE("real data sets are read") {
  const char* data = std::getenv("LATHE_DATA");
  if (data == nullptr) {
    MESSAGE("SKIPPED: LATHE_DATA is not set");
    return;
  }
  const fs::path root = data;
  const ImageSet test = read_cifar10(root / "cifar10", "test");
  CHECK(test.size() == 10000);
  CHECK(test.class_names.at(3) == "cat");
  CHECK(test.labels[0] == 3);  // the first test picture is a cat
  CHECK(read_cifar10(root / "cifar10", "train", 10010).size() == 10010);
  const ImageSet fashion = read_idx("fashion_mnist", root / "fashion_mnist", "test");
  CHECK(fashion.size() == 10000);
  CHECK(fashion.sample() == lathe::Shape({28, 28, 1}));
  CHECK(error_of([&] {
          read_idx("fashion_mnist", root / "fashion_mnist", "train");
        }).find("train-images-idx3-ubyte: there is no such file") != std::string::npos);
  CHECK(read_idx("pneumonia", root / "pneumonia_mnist", "test").size() == 624);
}

TEST_SUITE_END();
