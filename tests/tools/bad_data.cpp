// Data sets on disk.

#include <cstdint>

#include "core/error.h"
#include "core/files.h"
#include "tests/tools/bad_inputs.h"

namespace lathe::tests {
namespace {

namespace fs = std::filesystem;

constexpr size_t kRecord = 3073;

std::string record(int label) {
  return static_cast<char>(label) + std::string(kRecord - 1, '\x40');
}

// d/: CIFAR-10 with two records a file.
void lay_out_cifar(const fs::path& folder) {
  fs::create_directory(folder / "d");
  for (int i = 1; i <= 5; ++i) {
    write_atomic(folder / "d" / concat("data_batch_", i, ".bin"), record(i) + record(9));
  }
  write_atomic(folder / "d" / "test_batch.bin", record(0) + record(1));
}

std::string big_endian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(value >> shift));
  return bytes;
}

std::string idx_images(uint32_t count) {
  return big_endian(0x0803) + big_endian(count) + big_endian(28) + big_endian(28) +
         std::string(count * 784, '\x20');
}

std::string idx_labels(const std::string& labels) {
  return big_endian(0x0801) + big_endian(static_cast<uint32_t>(labels.size())) + labels;
}

const std::string kImages = idx_images(3), kLabels = idx_labels({"\1\2\3"});
constexpr const char* kImageFile = "d/train-images-idx3-ubyte";
constexpr const char* kLabelFile = "d/train-labels-idx1-ubyte";

// d/: Fashion-MNIST with three images a split.
const Prepare kIdx =
    all({file(kImageFile, kImages), file(kLabelFile, kLabels), file("d/t10k-images-idx3-ubyte", kImages),
         file("d/t10k-labels-idx1-ubyte", kLabels)});

// A gzip file of one stored block (RFC 1952, 1951), whose checksum is left 0.
std::string gzip_without_checksum(const std::string& text) {
  const auto little_endian = [](size_t value, int bytes) {
    std::string out;
    for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
    return out;
  };
  return std::string("\x1f\x8b\x08\0\0\0\0\0\0\xff\x01", 11) + little_endian(text.size(), 2) +
         little_endian(~text.size(), 2) + text + std::string(4, '\0') + little_endian(text.size(), 4);
}

Prepare gone(const std::string& path) {
  return [=](const fs::path& folder) { fs::remove_all(folder / path); };
}

const std::vector<std::string> kCheckCifar = {"data", "check", "cifar10", "--root", "d"};
const std::vector<std::string> kCheckIdx = {"data", "check", "fashion_mnist", "--root", "d"};

BadInput cifar(std::string name, const Prepare& spoil, std::vector<std::string> says) {
  return {std::move(name), all({lay_out_cifar, spoil}), kCheckCifar, 3, std::move(says)};
}

BadInput idx(std::string name, const Prepare& spoil, std::vector<std::string> says) {
  return {std::move(name), all({kIdx, spoil}), kCheckIdx, 3, std::move(says)};
}

std::vector<BadInput> cifar_rows() {
  return {
      cifar("truncated CIFAR batch", [](const fs::path& f) { truncate(f / "d/data_batch_2.bin", 6000); },
            {"d/data_batch_2.bin: ", "found 6000 bytes", "multiple of 3073"}),
      cifar("CIFAR records of another size", file("d/data_batch_3.bin", std::string(2 * 3074, '\0')),
            {"d/data_batch_3.bin: ", "found 6148 bytes", "records of 3073 bytes"}),
      cifar("empty CIFAR batch", file("d/data_batch_1.bin", ""), {"d/data_batch_1.bin: ", "found 0 bytes"}),
      cifar("CIFAR label 10", file("d/data_batch_4.bin", record(3) + record(10)),
            {"d/data_batch_4.bin: ", "record 1 at offset 3073", "label is 10", "expected 0 to 9"}),
      cifar("missing CIFAR batch", gone("d/data_batch_5.bin"), {"d/data_batch_5.bin: ", "no such file"}),
      cifar("missing data folder", gone("d"), {"d/data_batch_1.bin: ", "no such file", "3073"}),
      cifar("data folder that is a file", all({gone("d"), file("d", "")}), {"d/data_batch_1.bin: "}),
      cifar("too few class names", file("d/batches.meta.txt", "cat\n"),
            {"d/batches.meta.txt: ", "found 1 class names", "expected 10"}),
  };
}

std::vector<BadInput> idx_rows() {
  return {
      idx("IDX of another magic number", file(kImageFile, idx_labels("\1\2\3")),
          {kImageFile, "magic number at offset 0", "0x00000801", "0x00000803"}),
      idx("IDX shorter than its header", file(kImageFile, kImages.substr(0, 10)), {kImageFile, "10 bytes"}),
      idx("truncated IDX", file(kImageFile, kImages.substr(0, 2000)),
          {kImageFile, "truncated", "found 1984 bytes", "expected 2352"}),
      idx("IDX with trailing bytes", file(kImageFile, kImages + "xyz"),
          {kImageFile, "3 bytes follow", "offset 2368"}),
      idx("IDX larger than any memory",
          file(kImageFile,
               big_endian(0x0803) + big_endian(0xffffffff) + big_endian(0xffffffff) + big_endian(0xffffffff)),
          {kImageFile, "dimension 1 at offset 8", "4294967295"}),
      idx("IDX label 10", file(kLabelFile, idx_labels("\1\x0a\3")),
          {kLabelFile, "record 1 at offset 9", "label is 10"}),
      idx("IDX with fewer labels than images", file(kLabelFile, idx_labels("\1\2")),
          {kLabelFile, "found 2 labels", "expected 3", kImageFile}),
      idx(".gz that is not gzip", all({gone(kLabelFile), file(std::string(kLabelFile) + ".gz", kLabels)}),
          {"d/train-labels-idx1-ubyte.gz: ", "not gzip", "1f 8b"}),
      idx("gzip with a wrong checksum",
          all({gone(kLabelFile), file(std::string(kLabelFile) + ".gz", gzip_without_checksum(kLabels))}),
          {"d/train-labels-idx1-ubyte.gz: ", "incorrect data check"}),
      idx("truncated gzip",
          all({gone(kLabelFile),
               file(std::string(kLabelFile) + ".gz", gzip_without_checksum(kLabels).substr(0, 20))}),
          {"d/train-labels-idx1-ubyte.gz: ", "ends early"}),
      idx("missing IDX file", gone(kImageFile), {kImageFile, "no such file", ".gz"}),
  };
}

}  // namespace

std::vector<BadInput> bad_data() {
  std::vector<BadInput> rows = cifar_rows();
  for (BadInput& row : idx_rows()) rows.push_back(std::move(row));
  const Prepare cifar_experiment =
      experiment(R"("glyphs", "train": 64, "test": 16,)", R"("cifar10", "root": "d",)");
  rows.push_back({"training on data that is not there",
                  cifar_experiment,
                  {"train", "exp.json", "--out", "run", "--quiet"},
                  3,
                  {"d/data_batch_1.bin: ", "no such file"}});
  rows.push_back({"plan on damaged data",
                  all({cifar_experiment, lay_out_cifar, file("d/test_batch.bin", record(200))}),
                  {"train", "exp.json", "--dry-run"},
                  3,
                  {"d/test_batch.bin: ", "record 0", "label is 200"}});
  const std::vector<std::string> eval = {"eval", "run", "--data", "d.json"};
  rows.push_back({"eval on images of another size",
                  all({trained(), kIdx, file("d.json", R"({"data": {"type": "mnist", "root": "d"}})")}),
                  eval,
                  2,
                  {"run/resolved.json:", "model: ", "(28, 28, 1)", "mnist"}});
  rows.push_back({"eval on data of other classes",
                  all({trained(), file("d/test.bin", '\0' + record(42)),
                       file("d.json", R"({"data": {"type": "cifar100", "root": "d"}})")}),
                  eval,
                  2,
                  {"model.classes: ", "the model has 10 classes", "cifar100 has 100"}});
  rows.push_back({"unknown data set's name",
                  nothing(),
                  {"data", "check", "cifra10"},
                  2,
                  {"no data set 'cifra10'", "'cifar10'"}});
  rows.push_back({"data set that has no folder",
                  nothing(),
                  {"data", "check", "glyphs", "--root", "d"},
                  2,
                  {"unknown key 'root'"}});
  return rows;
}

}  // namespace lathe::tests
