// Augmentations of photographs and of batches: what they may do, how often, and that they are functions of
// (seed, epoch, index).

#include <cmath>
#include <map>
#include <set>

#include <doctest/doctest.h>

#include "core/error.h"
#include "data/augment.h"
#include "data/loader.h"
#include "tests/support/image_sets.h"
#include "tests/support/pictures.h"

namespace lathe::tests {
namespace {

std::vector<float> sample(const Dataset& data, int64_t index, uint32_t epoch) {
  Batch batch = data.allocate(1);
  data.load(index, epoch, batch, 0);
  const auto x = batch.inputs[0].span<float>();
  return {x.begin(), x.end()};
}

std::string only(const std::string& augment) {
  return R"({"augment": [)" + augment + "]}";
}

// n copies of one photograph.
ImageSet copies(int64_t n, int64_t side) {
  ImageSet set{"test", "train", side, side, 3, 10, {}, {}, {}};
  const Picture picture = some_picture(side, side, 3);
  for (int64_t i = 0; i < n; ++i) {
    set.labels.push_back(static_cast<int32_t>(i % 10));
    set.pixels.insert(set.pixels.end(), picture.pixels.begin(), picture.pixels.end());
  }
  return set;
}

Batch batch_of(const ImageDataset& data, int64_t n, int64_t number) {
  Batch batch = data.allocate(n);
  for (int64_t i = 0; i < n; ++i) data.load(i, 3, batch, i);
  data.finish(batch, 3, number);
  return batch;
}

}  // namespace

TEST_SUITE_BEGIN("data");

TEST_CASE("every augmentation is a function of seed, epoch and index") {
  for (const auto& entry : augment_registry().entries()) {
    CAPTURE(entry.name);
    const std::string section = only(R"({"type": ")" + entry.name + R"("})");
    const ImageDataset data = dataset(copies(8, 16), section, 5), other = dataset(copies(8, 16), section, 6);
    if (data.allocate(1).targets[0].dtype() == DType::F32) continue;  // of batches: below
    std::set<std::vector<float>> seen;
    for (int64_t i = 0; i < 8; ++i) {
      for (uint32_t epoch = 0; epoch < 4; ++epoch) {
        seen.insert(sample(data, i, epoch));
        CHECK(sample(data, i, epoch) == sample(data, i, epoch));
      }
    }
    CHECK(seen.size() > 1);
    std::set<std::vector<float>> others;
    for (int64_t i = 0; i < 8; ++i) others.insert(sample(other, i, 0));
    if (entry.name != "flip") CHECK(others.size() > 1);
  }
}

TEST_CASE("random_resized_crop keeps to its options") {
  const auto data = [](const std::string& options) {
    return dataset(copies(200, 24), only(R"({"type": "random_resized_crop")" + options + "}"));
  };
  const ImageDataset whole = data(R"(, "scale": [1, 1], "ratio": [1, 1])");
  const ImageDataset plain = dataset(copies(1, 24), "{}");
  CHECK(sample(whole, 0, 0) == sample(plain, 0, 0));
  CHECK(sample(data(""), 0, 0) != sample(plain, 0, 0));
  // A shape that never fits: the middle of that shape.
  const ImageDataset wide = data(R"(, "scale": [1, 1], "ratio": [3, 3])");
  CHECK(sample(wide, 0, 0) == sample(wide, 1, 7));
  CHECK(sample(wide, 0, 0) != sample(plain, 0, 0));
}

TEST_CASE("color_jitter without strength changes nothing") {
  const std::string still = R"({"type": "color_jitter", "brightness": 0, "contrast": 0, "saturation": 0})";
  const ImageDataset plain = dataset(copies(2, 12), "{}");
  CHECK(sample(dataset(copies(2, 12), only(still)), 1, 4) == sample(plain, 1, 4));
  CHECK(sample(dataset(copies(2, 12), only(R"({"type": "color_jitter"})")), 1, 4) != sample(plain, 1, 4));
}

TEST_CASE("rand_augment leaves a quarter of the samples, and fills with its colour") {
  const ImageDataset data = dataset(copies(400, 12), only(R"({"type": "rand_augment"})"));
  const std::vector<float> plain = sample(dataset(copies(1, 12), "{}"), 0, 0);
  int64_t same = 0;
  for (int64_t i = 0; i < 400; ++i) same += sample(data, i, 0) == plain;
  CHECK(same >= 80);  // both operations left out: 100 of 400, some do nothing to the picture
  CHECK(same <= 170);
  const ImageDataset never = dataset(copies(1, 12), only(R"({"type": "rand_augment", "p": 0})"));
  CHECK(sample(never, 0, 3) == plain);
}

TEST_CASE("random_erasing writes noise of variance 1 into a rectangle") {
  const char* black = R"("normalize": {"mean": [0, 0, 0], "std": [1, 1, 1]})";
  const std::string always = concat("{", black, R"(, "augment": [{"type": "random_erasing", "p": 1}]})");
  const ImageDataset data = dataset(some_images(60, 32, 32), always);
  const ImageDataset plain = dataset(some_images(60, 32, 32), concat("{", black, "}"));
  double sum = 0, squares = 0, count = 0;
  for (int64_t i = 0; i < 60; ++i) {
    const std::vector<float> x = sample(data, i, 0), before = sample(plain, i, 0);
    double erased = 0;
    for (size_t k = 0; k < x.size(); ++k) {
      if (x[k] == before[k]) continue;
      sum += x[k];
      squares += double{x[k]} * x[k];
      ++erased;
    }
    CHECK(erased >= 0.01 * 3072);
    CHECK(erased <= 0.36 * 3072);
    count += erased;
  }
  CHECK(std::abs(sum / count) < 0.02);
  CHECK(std::abs(squares / count - 1) < 0.03);
  const ImageDataset seldom = dataset(copies(400, 32), only(R"({"type": "random_erasing"})"));
  const std::vector<float> whole = sample(dataset(copies(1, 32), "{}"), 0, 0);
  int64_t touched = 0;
  for (int64_t i = 0; i < 400; ++i) touched += sample(seldom, i, 0) != whole;
  CHECK(touched > 70);
  CHECK(touched < 130);
}

TEST_CASE("cutmix swaps a box and mixes labels by its area") {
  const ImageDataset plain = dataset(some_images(4, 16, 16), "{}");
  const ImageDataset data = dataset(some_images(4, 16, 16), only(R"({"type": "cutmix"})"));
  for (int64_t number = 0; number < 10; ++number) {
    const Batch batch = batch_of(data, 4, number);
    const float* x = batch.inputs[0].ptr<float>();
    const std::vector<float> own = sample(plain, 0, 0), partner = sample(plain, 3, 0);
    int64_t foreign = 0;
    for (size_t k = 0; k < own.size(); ++k) {
      CHECK((x[k] == own[k] || x[k] == partner[k]));
      foreign += x[k] != own[k];
    }
    const float share = static_cast<float>(foreign) / 768;
    const float* labels = batch.targets[0].ptr<float>();
    CHECK(labels[0] == doctest::Approx(1 - share));
    CHECK(labels[3] == doctest::Approx(share));
  }
}

TEST_CASE("mixup_cutmix takes one or the other, or neither") {
  const ImageDataset plain = dataset(some_images(4, 8, 8), "{}");
  const auto kinds = [&](const std::string& options) {
    const ImageDataset data =
        dataset(some_images(4, 8, 8), only(R"({"type": "mixup_cutmix")" + options + "}"));
    std::map<std::string, int> counts;
    const std::vector<float> own = sample(plain, 0, 0), partner = sample(plain, 3, 0);
    for (int64_t number = 0; number < 200; ++number) {
      const Batch batch = batch_of(data, 4, number);
      const float* x = batch.inputs[0].ptr<float>();
      int64_t same = 0, cut = 0;
      for (size_t k = 0; k < own.size(); ++k) {
        same += x[k] == own[k];
        cut += x[k] == own[k] || x[k] == partner[k];
      }
      const auto n = static_cast<int64_t>(own.size());
      ++counts[same == n ? "none" : cut == n ? "cut" : "mixed"];
    }
    return counts;
  };
  auto half = kinds("");
  CHECK(half["mixed"] > 70);
  CHECK(half["cut"] > 50);  // boxes without a pixel look like none
  CHECK(kinds(R"(, "switch_p": 0)")["mixed"] > 190);
  CHECK(kinds(R"(, "switch_p": 1)")["mixed"] == 0);
  CHECK(kinds(R"(, "p": 0)")["none"] == 200);
}

TEST_CASE(
    "repeated augmentation: each picture so often in a row, in other augmentations, in epochs as long") {
  const ImageDataset data =
      dataset(some_images(600, 4, 4), R"({"repeats": 3, "augment": [{"type": "pad_crop", "pad": 2}]})");
  Loader loader(data, {.batch = 6, .shuffle = true, .seed = 9});
  CHECK(loader.batches_per_epoch() == (512 + 5) / 6);
  loader.start(2);
  Batch batch;
  REQUIRE(loader.next(batch));
  const int64_t* labels = batch.targets[0].ptr<int64_t>();
  for (int64_t i = 0; i < 6; ++i) CHECK(labels[i] == labels[i / 3 * 3]);
  int64_t samples = batch.size;
  std::set<std::vector<float>> seen;
  for (int64_t i = 0; i < 3; ++i) {
    const float* x = batch.inputs[0].ptr<float>() + 48 * i;
    seen.insert({x, x + 48});
  }
  CHECK(seen.size() > 1);
  while (loader.next(batch)) samples += batch.size;
  CHECK(samples == 512);
  CHECK(samples_per_epoch(data) == 512);
  Loader in_order(data, {.batch = 100});
  CHECK(in_order.batches_per_epoch() == 6);
}

TEST_CASE("wrong augmentations are named") {
  const auto refused = [](const std::string& list, const std::string& what) {
    try {
      dataset(some_images(2, 4, 4), R"({"augment": [)" + list + "]}");
      FAIL("accepted");
    } catch (const ConfigError& error) {
      CHECK_MESSAGE(std::string(error.what()).find(what) != std::string::npos, error.what());
    }
  };
  refused(R"({"type": "random_resized_crop", "scale": [1, 0.5]})", "augment[0].scale");
  refused(R"({"type": "random_resized_crop", "ratio": [1]})", "expected two numbers, found 1");
  refused(R"({"type": "random_resized_crop"}, {"type": "random_resized_crop"})", "cropped only once");
  refused(R"({"type": "mixup"}, {"type": "cutmix"})", "mixed only once");
  refused(R"({"type": "rand_augment", "fill": [1, 2]})", "expected 1 or 3 values, found 2");
  refused(R"({"type": "colour_jitter"})", "did you mean 'color_jitter'");
  refused(R"({"type": "pad_crop", "pad": 2147483648})",
          "augment[0].pad: expected an integer at least 1 and at most 4096");
  refused(R"({"type": "cutout", "size": 9000000000000000000})",
          "augment[0].size: expected an integer at least 1 and at most 8192");
}

TEST_SUITE_END();

}  // namespace lathe::tests
