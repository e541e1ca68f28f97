// Batches of augmented images that a device makes.

#include "core/kernels/images.h"

#include <cmath>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/step_graph.h"
#include "data/device_images.h"
#include "tests/cuda/device.h"
#include "tests/support/image_sets.h"

namespace lathe {
namespace {

using tests::cuda_device;
using tests::cuda_ready;
using tests::dataset;
using tests::loaded;
using tests::section;
using tests::some_images;

/// Rows of images that image_batch may read.
struct Stored {
  Tensor pixels = Tensor::full({3, 2, 2, 1}, 7, DType::U8, cuda_device());
  Tensor labels = Tensor::full({3}, 5, DType::I64, cuda_device());
  Tensor tables = Tensor::full({1, 256}, 0.5, DType::F32, cuda_device());
};

}  // namespace

TEST_SUITE_BEGIN("gpu ops");

TEST_CASE("augmented images are the host pipeline's, bit for bit") {
  if (!cuda_ready()) return;
  const std::string crop = R"({"type": "pad_crop", "pad": 3})", flip = R"({"type": "flip"})",
                    cutout = R"({"type": "cutout", "size": 5})";
  std::vector<std::string> many = {flip};
  for (int i = 0; i < 5; ++i) many.insert(many.end(), {crop, cutout, flip});
  const std::vector<std::string> lists[] = {
      {}, {crop, flip}, {flip, crop, crop}, {cutout, crop, flip, cutout}, many};
  const tests::GuardedDevice guards;
  for (const auto& [h, w, c] :
       {std::array<int64_t, 3>{32, 32, 3}, {5, 7, 3}, {8, 8, 1}, {31, 19, 1}, {6, 3, 2}}) {
    for (const auto& augments : lists) {
      const std::string text = section(c, augments);
      CAPTURE(text);
      CAPTURE(w);
      const ImageDataset data = dataset(some_images(9, h, w, c), text, 5);
      DeviceImages images(data, cuda_device());
      for (const std::vector<int64_t>& indices : {std::vector<int64_t>{8, 0, 3, 3, 5}, {2, 7}}) {
        const uint32_t epoch = static_cast<uint32_t>(indices.size());
        images.start(epoch);
        Batch made = images.allocate(static_cast<int64_t>(indices.size()));
        images.load(made, Tensor::from(indices, {made.size}));
        const Batch expected = loaded(data, indices, epoch);
        CHECK(same_bits(made.inputs[0], expected.inputs[0]));
        CHECK(same_bits(made.targets[0], expected.targets[0]));
      }
    }
  }
  CHECK(guards.violations() == 0);
}

TEST_CASE("an image that is not there is NaN, and nothing outside the set is read") {
  if (!cuda_ready()) return;
  const Stored stored;
  const tests::GuardedDevice guards;
  const Tensor indices =
      Tensor::from(std::vector<int64_t>{1, 3, -1, int64_t{1} << 60}, {4}).to(cuda_device());
  Tensor y = Tensor::empty({4, 2, 2, 1}, DType::F32, cuda_device());
  Tensor target = Tensor::empty({4}, DType::I64, cuda_device());
  ImagePlan plan;
  plan.count = 1;
  plan.steps[0] = {ImageStepKind::Flip, 0, 0.5};
  kernels::image_batch(y, target, stored.pixels, stored.labels, stored.tables, indices, plan);
  y = y.to(Device::cpu());
  target = target.to(Device::cpu());
  for (int64_t i = 0; i < 16; ++i) CHECK((i < 4 ? y.ptr<float>()[i] == 0.5f : std::isnan(y.ptr<float>()[i])));
  for (int64_t i = 0; i < 4; ++i) CHECK(target.ptr<int64_t>()[i] == (i == 0 ? 5 : 0));
  CHECK(guards.violations() == 0);
}

TEST_CASE("augmented images are refused in a recorded step") {
  if (!cuda_ready()) return;
  const Stored stored;
  const Tensor indices = Tensor::full({1}, 2, DType::I64, cuda_device());
  Tensor y = Tensor::empty({1, 2, 2, 1}, DType::F32, cuda_device()), target = indices.empty_like();
  ImagePlan plan;
  for (const uint32_t epoch : {7u, 8u}) {
    plan.philox.step = epoch;
    CHECK_THROWS_AS(StepGraph::record(cuda_device(), 7,
                                      [&] {
                                        kernels::image_batch(y, target, stored.pixels, stored.labels,
                                                             stored.tables, indices, plan);
                                      }),
                    NotImplementedError);
  }
}

TEST_SUITE_END();

}  // namespace lathe
