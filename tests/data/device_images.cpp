// Batches made from a copy of a set on a device; here the device is the host.

#include "data/device_images.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "tests/support/image_sets.h"

namespace lathe {
namespace {

using tests::dataset;
using tests::loaded;
using tests::section;
using tests::some_images;

using Augments = std::vector<std::string>;

/// Every list of up to `length` augmentations.
std::vector<Augments> augment_lists(int length) {
  static const Augments kinds = {R"({"type": "pad_crop", "pad": 1})", R"({"type": "pad_crop", "pad": 5})",
                                 R"({"type": "flip"})", R"({"type": "cutout", "size": 3})",
                                 R"({"type": "cutout", "size": 2})"};
  std::vector<Augments> lists = {{}};
  for (size_t begin = 0; length > 0; --length) {
    for (const size_t end = lists.size(); begin < end; ++begin) {
      for (const std::string& kind : kinds) {
        Augments longer = lists[begin];
        longer.push_back(kind);
        lists.push_back(std::move(longer));
      }
    }
  }
  return lists;
}

const std::vector<int64_t> kIndices = {4, 0, 10, 3, 3, 7, 1};

void check_same(const ImageDataset& data, uint32_t epoch) {
  DeviceImages images(data, Device::cpu());
  images.start(epoch);
  Batch made = images.allocate(static_cast<int64_t>(kIndices.size()));
  images.load(made, Tensor::from(kIndices, {made.size}));
  const Batch expected = loaded(data, kIndices, epoch);
  REQUIRE(same_bits(made.inputs[0], expected.inputs[0]));
  REQUIRE(same_bits(made.targets[0], expected.targets[0]));
}

}  // namespace

TEST_SUITE_BEGIN("data");

TEST_CASE("images on a device: the pipeline's bits for every list of augmentations") {
  for (const auto& [h, w, channels] : {std::array<int64_t, 3>{5, 7, 3}, {8, 8, 1}, {4, 3, 2}, {1, 1, 3}}) {
    for (const Augments& augments : augment_lists(3)) {
      const std::string text = section(channels, augments);
      CAPTURE(text);
      CAPTURE(w);
      const ImageDataset data = dataset(some_images(11, h, w, channels), text);
      check_same(data, 0);
      check_same(data, 3);
    }
  }
}

TEST_CASE("images on a device: as many augmentations as there may be, chances 0 and 1") {
  Augments augments = {R"({"type": "flip", "p": 1})", R"({"type": "flip", "p": 0})"};
  for (int i = 0; i < 14; ++i) {
    augments.emplace_back(i % 3 == 0 ? R"({"type": "pad_crop", "pad": 1})" : R"({"type": "flip", "p": 0.3})");
  }
  const ImageDataset data = dataset(some_images(11, 16, 15), section(3, augments), 77);
  REQUIRE(data.plan(2)->count == 16);
  for (uint32_t epoch = 0; epoch < 20; ++epoch) check_same(data, epoch);
}

TEST_CASE("images on a device: the split for tests is not augmented, limits hold") {
  const std::string text = R"({"limit": 5, "eval_limit": 5, "augment": [{"type": "flip", "p": 1}]})";
  for (const char* split : {"train", "test"}) {
    const ImageDataset data = dataset(some_images(11, 4, 4, 3, split), text);
    DeviceImages images(data, Device::cpu());
    Batch made = images.allocate(2);
    const std::vector<int64_t> indices = {4, 1};
    images.load(made, Tensor::from(indices, {2}));
    CHECK(same_bits(made.inputs[0], loaded(data, indices, 0).inputs[0]));
    for (const int64_t outside : {-1, 5}) {
      CHECK_THROWS_AS(images.load(made, Tensor::from(std::vector<int64_t>{0, outside}, {2})), ShapeError);
    }
    CHECK_THROWS_AS(images.load(made, Tensor::from(std::vector<int64_t>{0}, {1})), ShapeError);
  }
}

TEST_CASE("images on a device: only where the pipeline has a plan") {
  CHECK(dataset(some_images(3, 2, 2), section(3, {R"({"type": "flip"})"})).on_device(Device::cpu()) !=
        nullptr);
  const ImageDataset mixed =
      dataset(some_images(3, 2, 2), section(3, {R"({"type": "flip"})", R"({"type": "mixup"})"}));
  CHECK_FALSE(mixed.plan(0).has_value());
  CHECK(mixed.on_device(Device::cpu()) == nullptr);
}

TEST_SUITE_END();

}  // namespace lathe
