// Data sets from "data" sections, the generated task, and what `lathe data` is made of.

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "core/parallel.h"
#include "data/cifar.h"
#include "data/dataset.h"
#include "data/glyphs.h"
#include "data/images.h"
#include "data/inspect.h"
#include "data/loader.h"
#include "tests/support/scratch.h"

using lathe::ConfigError;
using lathe::DataError;
using lathe::FieldPath;
using lathe::generate_glyphs;
using lathe::ImageSet;
using lathe::parse_json;
using lathe::Value;
using lathe::tests::ScratchFolder;

namespace {

const FieldPath kWhere{"exp.json", "data"};

Value section(const std::string& text) {
  return parse_json(text, "exp.json");
}

// Accuracy on `test` of a softmax regression on pixels, trained on `train` by plain SGD.
double linear_accuracy(const ImageSet& train, const ImageSet& test, int epochs) {
  const int64_t features = train.image_bytes();
  std::vector<float> w(static_cast<size_t>(10 * features)), b(10);
  const auto logits = [&](std::span<const uint8_t> image, float* x, float* z) {
    for (int64_t i = 0; i < features; ++i)
      x[i] = (static_cast<float>(image[static_cast<size_t>(i)]) - 127) / 65;
    for (int64_t c = 0; c < 10; ++c) {
      z[c] = b[static_cast<size_t>(c)];
      for (int64_t i = 0; i < features; ++i) z[c] += w[static_cast<size_t>(c * features + i)] * x[i];
    }
  };
  std::vector<float> x(static_cast<size_t>(features)), z(10);
  for (int epoch = 0; epoch < epochs; ++epoch) {
    const float rate = 3e-4f / static_cast<float>(1 + epoch);
    for (int64_t n = 0; n < train.size(); ++n) {
      logits(train.image(n), x.data(), z.data());
      float total = 0;
      for (float& v : z) total += v = std::exp(std::min(v, 30.0f));
      for (size_t c = 0; c < 10; ++c) {
        const bool is_label = static_cast<size_t>(train.labels[static_cast<size_t>(n)]) == c;
        const float step = rate * (z[c] / total - (is_label ? 1.0f : 0.0f));
        b[c] -= step;
        for (int64_t i = 0; i < features; ++i)
          w[c * static_cast<size_t>(features) + static_cast<size_t>(i)] -= step * x[static_cast<size_t>(i)];
      }
    }
  }
  int64_t right = 0;
  for (int64_t n = 0; n < test.size(); ++n) {
    logits(test.image(n), x.data(), z.data());
    right += std::max_element(z.begin(), z.end()) - z.begin() == test.labels[static_cast<size_t>(n)];
  }
  return static_cast<double>(right) / static_cast<double>(test.size());
}

}  // namespace

TEST_SUITE_BEGIN("data");

TEST_CASE("glyphs: a picture is a function of seed, split and index") {
  const int threads = lathe::num_threads();
  const ImageSet set = generate_glyphs(300, 5, "train");
  for (const int n : {1, 2, 3}) {
    lathe::set_num_threads(n);
    CHECK(generate_glyphs(300, 5, "train").pixels == set.pixels);
  }
  lathe::set_num_threads(threads);
  const ImageSet part = generate_glyphs(70, 5, "train");
  CHECK(std::equal(part.pixels.begin(), part.pixels.end(), set.pixels.begin()));
  CHECK(generate_glyphs(300, 6, "train").pixels != set.pixels);
  CHECK(generate_glyphs(300, 5, "test").pixels != set.pixels);
  CHECK(set.labels[27] == 7);
  CHECK(generate_glyphs(0, 5, "train").size() == 0);
}

TEST_CASE("glyphs: the pictures are those of every other machine and of earlier versions") {
  CHECK(lathe::content_hash(generate_glyphs(500, 1, "train")) == "1e2b316ed260c805");
  CHECK(lathe::content_hash(generate_glyphs(500, 1, "test")) == "6ef06507699d5314");
}

TEST_CASE("glyphs: a linear model on pixels does not solve it") {
  const ImageSet train = generate_glyphs(4000, 1, "train"), test = generate_glyphs(1000, 1, "test");
  const double accuracy = linear_accuracy(train, test, 3);
  MESSAGE("softmax regression on 4000 glyphs: ", accuracy);
  CHECK(accuracy < 0.6);
}

TEST_CASE("registry: glyphs are the data of a fresh clone") {
  const auto splits = lathe::data_registry().build(
      section(R"({"type": "glyphs", "limit": 200, "eval_limit": 50})"), kWhere, 1);
  CHECK(splits.train->size() == 200);
  CHECK(splits.test->size() == 50);
  CHECK(splits.train->info().sample == lathe::Shape({32, 32, 3}));
  CHECK(splits.train->info().classes == 10);
  CHECK(splits.test->info().split == "test");
  const auto other_run = lathe::data_registry().build(
      section(R"({"type": "glyphs", "limit": 200, "eval_limit": 50})"), kWhere, 2);
  CHECK(other_run.train->info().content_hash == splits.train->info().content_hash);
  const auto other_data = lathe::data_registry().build(
      section(R"({"type": "glyphs", "limit": 200, "test": 50, "seed": 2})"), kWhere, 1);
  CHECK(other_data.train->info().content_hash != splits.train->info().content_hash);
  CHECK(other_data.test->size() == 50);
}

TEST_CASE("registry: resolving writes every default, and resolves to itself") {
  const auto& registry = lathe::data_registry();
  const Value given =
      section(R"({"type": "cifar10", "batch": 64, "augment": [{"type": "pad_crop"}, {"type": "flip"}]})");
  const Value resolved = registry.resolve(given, kWhere);
  const Value expected = section(R"({
    "type": "cifar10", "root": "data/cifar10",
    "normalize": {"mean": [0.4914, 0.4822, 0.4465], "std": [0.247, 0.2435, 0.2616]},
    "augment": [{"type": "pad_crop", "pad": 4}, {"type": "flip", "p": 0.5}],
    "repeats": 1, "batch": 64, "eval_batch": null, "limit": null, "eval_limit": null})");
  CHECK(lathe::to_json(resolved) == lathe::to_json(expected));
  for (const std::string& name : registry.names()) {
    CAPTURE(name);
    const Value once = registry.resolve(Value::object({{"type", Value::string(name)}}), kWhere);
    CHECK(registry.resolve(once, kWhere) == once);
    CHECK(lathe::read_data_common(once, kWhere).batch == 128);
    const Value schema = registry.at(once, kWhere).schema();
    const bool pictures = once.find("normalize") != nullptr;
    if (pictures) CHECK(schema.find("properties")->find("augment")->find("items") != nullptr);
  }
  CHECK_THROWS_WITH_AS(registry.resolve(section(R"({"type": "cifar"})"), kWhere),
                       "exp.json:1: data.type: there is no data set 'cifar', did you mean 'cifar10'?",
                       ConfigError);
}

TEST_CASE("registry: the common keys are read by themselves") {
  const Value given = section(R"({"type": "cifar10", "root": "x", "batch": 7, "eval_batch": 9, "limit": 5})");
  const lathe::DataCommon common = lathe::read_data_common(given, kWhere);
  CHECK(common.batch == 7);
  CHECK(common.eval_batch == 9);
  CHECK(common.limit == 5);
  CHECK_FALSE(common.eval_limit.has_value());
  CHECK_THROWS_AS(lathe::read_data_common(section(R"({"batch": 0})"), kWhere), ConfigError);
  CHECK_THROWS_AS(lathe::read_data_common(section("[]"), kWhere), ConfigError);
}

TEST_CASE("registry: one split can be opened where the other is missing") {
  const ScratchFolder folder;
  const ImageSet glyphs = generate_glyphs(20, 1, "test");
  lathe::write_cifar10(folder.path(), glyphs, glyphs);
  std::filesystem::remove(folder / "data_batch_2.bin");
  const Value given =
      Value::object({{"type", Value::string("cifar10")}, {"root", Value::string(folder.path())}});
  const auto test = lathe::split_registry().build(given, kWhere, "test", 1);
  CHECK(test->size() == 20);
  CHECK_THROWS_AS(lathe::split_registry().build(given, kWhere, "train", 1), DataError);
  CHECK_THROWS_AS(lathe::data_registry().build(given, kWhere, 1), DataError);
  CHECK_THROWS_AS(lathe::split_registry().build(given, kWhere, "dev", 1), ConfigError);

  const Value described = lathe::describe_data(given, kWhere);
  CHECK(described.find("test")->find("samples")->as_int() == 20);
  CHECK(described.find("train")->find("error")->as_string().find("data_batch_2.bin") != std::string::npos);
  const lathe::DataReport report = lathe::check_data(given, kWhere);
  REQUIRE(report.errors.size() == 1);
  CHECK(report.errors[0].split == "train");
}

TEST_CASE("describe: counts, mean and deviation") {
  const ScratchFolder folder;
  ImageSet set{"any", "train", 32, 32, 3, 10, {}, {}, {}};
  for (int i = 0; i < 6; ++i) {
    set.labels.push_back(i / 4);
    for (int k = 0; k < 3072; ++k)
      set.pixels.push_back(static_cast<uint8_t>(k % 3 == 0 ? 51 : k % 3 == 1 ? 255 * (i % 2) : 0));
  }
  lathe::write_cifar10(folder.path(), set, set);
  const Value given =
      Value::object({{"type", Value::string("cifar10")}, {"root", Value::string(folder.path())}});
  const Value described = lathe::describe_data(given, kWhere);
  const Value& train = *described.find("train");
  CHECK(train.find("samples")->as_int() == 6);
  CHECK(train.find("samples_per_class")->items()[0].as_int() == 4);
  CHECK(train.find("samples_per_class")->items()[1].as_int() == 2);
  CHECK(train.find("mean")->items()[0].as_real() == doctest::Approx(0.2));
  CHECK(train.find("std")->items()[0].as_real() == doctest::Approx(0.0));
  CHECK(train.find("mean")->items()[1].as_real() == doctest::Approx(0.5));
  CHECK(train.find("std")->items()[1].as_real() == doctest::Approx(0.5));
  CHECK(train.find("content_hash")->as_string() == lathe::content_hash(set));

  const lathe::DataReport report = lathe::check_data(given, kWhere);
  CHECK(report.errors.empty());
  CHECK(report.warnings.size() == 2 * 8 + 2 + 1);  // empty classes, repeats, images in both splits
  CHECK(report.warnings.back().problem == "6 of 6 test images stand in train too");
}

TEST_CASE("export: generated data are read back as CIFAR-10") {
  const ScratchFolder folder;
  const Value glyphs = section(R"({"type": "glyphs", "limit": 103, "eval_limit": 20})");
  CHECK(lathe::export_data(glyphs, kWhere, folder / "out", {.pictures = 2}) == lathe::ExportKind::Images);
  const ImageSet train = lathe::read_cifar10(folder / "out", "train"),
                 test = lathe::read_cifar10(folder / "out", "test");
  CHECK(train.pixels == generate_glyphs(103, 1, "train").pixels);
  CHECK(test.labels == generate_glyphs(20, 1, "test").labels);
  CHECK(train.class_names.at(9) == "9");
  CHECK(lathe::read_text(folder / "out" / "preview.png").substr(1, 3) == "PNG");
  const lathe::DataReport report = lathe::check_data(glyphs, kWhere);  // whole: limits do not count
  CHECK(report.errors.empty());
  CHECK(report.warnings.empty());
  CHECK(std::filesystem::exists(folder / "out/pictures/00001-1.png"));
  CHECK_FALSE(std::filesystem::exists(folder / "out/pictures/00002-2.png"));
}

TEST_CASE("export: a file that is there stays, and nothing is written beside it") {
  const ScratchFolder folder;
  const Value glyphs = section(R"({"type": "glyphs", "train": 10, "test": 3})"),
              prose = section(R"({"type": "prose", "train": 2000, "test": 1000, "context": 16})"),
              tones = section(R"({"type": "tones", "train": 2, "test": 1, "track_samples": 8000,
                                 "sample_rate": 1000, "samples": 1000})");
  const auto check = [&](const Value& given, lathe::ExportKind kind, const char* file, int64_t pictures) {
    CAPTURE(std::string(file));
    const auto root = folder / std::string(file).substr(0, std::string(file).find('/'));
    const auto entries = [&] {
      return std::distance(std::filesystem::recursive_directory_iterator(root), {});
    };
    std::filesystem::create_directories((folder / file).parent_path());
    lathe::write_atomic(folder / file, std::string_view("mine"));
    const auto before = entries();
    CHECK_THROWS_WITH_AS(
        lathe::export_data(given, kWhere, root, {.pictures = pictures}),
        ((folder / file).string() + ": is there already; choose another folder, or say --overwrite").c_str(),
        lathe::IoError);
    CHECK(entries() == before);
    CHECK(lathe::read_text(folder / file) == "mine");
    CHECK(lathe::export_data(given, kWhere, root, {.pictures = pictures, .overwrite = true}) == kind);
    CHECK(lathe::read_text(folder / file) != "mine");
  };
  check(glyphs, lathe::ExportKind::Images, "a/data_batch_5.bin", 0);
  check(glyphs, lathe::ExportKind::Images, "b/pictures/00001-1.png", 2);
  check(prose, lathe::ExportKind::Texts, "c/test.txt", 0);
  check(tones, lathe::ExportKind::Sounds, "d/test/tones-00/vocals.wav", 0);
  CHECK_THROWS_AS(lathe::export_data(prose, kWhere, folder / "e", {.pictures = 1}), lathe::ConfigError);
  CHECK_FALSE(std::filesystem::exists(folder / "e"));
}

TEST_CASE("a shuffled, augmented, mixed epoch is the same however it is prepared") {
  const Value given = section(R"({"type": "glyphs", "limit": 100, "eval_limit": 1, "augment":
      [{"type": "pad_crop"}, {"type": "cutout"}, {"type": "mixup"}]})");
  const auto splits = lathe::data_registry().build(given, kWhere, 11);
  const auto hash_epoch = [&](int prefetch, int64_t first) {
    lathe::Loader loader(*splits.train, {.batch = 32, .shuffle = true, .seed = 11, .prefetch = prefetch});
    loader.start(2, first);
    std::vector<std::vector<float>> batches;
    lathe::Batch batch;
    while (loader.next(batch)) {
      const auto x = batch.inputs[0].span<float>(), t = batch.targets[0].span<float>();
      batches.emplace_back(x.begin(), x.end());
      batches.back().insert(batches.back().end(), t.begin(), t.end());
    }
    return batches;
  };
  const auto whole = hash_epoch(0, 0);
  REQUIRE(whole.size() == 4);
  CHECK(hash_epoch(1, 0) == whole);
  CHECK(hash_epoch(4, 0) == whole);
  CHECK(hash_epoch(2, 3) == std::vector<std::vector<float>>{whole[3]});
}

TEST_SUITE_END();
