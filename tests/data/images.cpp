// Normalisation and augmentation.

#include "data/images.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "core/parallel.h"
#include "tests/support/image_sets.h"

using lathe::Batch;
using lathe::ConfigError;
using lathe::FieldPath;
using lathe::ImageDataset;
using lathe::ImageOptions;
using lathe::ImageSet;
using lathe::parse_json;
using lathe::Tensor;
using lathe::Value;
using lathe::tests::dataset;
using lathe::tests::some_images;

namespace {

std::vector<float> sample(const ImageDataset& data, int64_t index, uint32_t epoch) {
  Batch batch = data.allocate(1);
  data.load(index, epoch, batch, 0);
  const auto x = batch.inputs[0].span<float>();
  return {x.begin(), x.end()};
}

// Bytes again, from a dataset that only divides by 255.
std::vector<int> bytes_of(const std::vector<float>& x) {
  std::vector<int> bytes;
  for (const float v : x) bytes.push_back(static_cast<int>(std::lround(v * 255)));
  return bytes;
}

}  // namespace

TEST_SUITE_BEGIN("data");

TEST_CASE("images: (x / 255 - mean) / std by channel") {
  for (const int64_t channels : {1, 2, 3}) {
    CAPTURE(channels);
    Value mean = Value::array(), std = Value::array();
    for (int64_t c = 0; c < channels; ++c) {
      mean.push_back(Value::real(0.1 * static_cast<double>(c)));
      std.push_back(Value::real(0.5 + static_cast<double>(c)));
    }
    ImageOptions options;
    options.normalize = Value::object({{"mean", mean}, {"std", std}});
    const ImageSet images = some_images(2, 3, 5, channels);
    const ImageDataset data(images, options, {}, 1);
    const std::vector<float> x = sample(data, 1, 0);
    REQUIRE(x.size() == static_cast<size_t>(images.image_bytes()));
    for (size_t i = 0; i < x.size(); ++i) {
      const double c = static_cast<double>(static_cast<int64_t>(i) % channels);
      const double expected = (images.image(1)[i] / 255.0 - 0.1 * c) / (0.5 + c);
      CHECK(std::abs(x[i] - expected) < 1e-6);
    }
  }
}

TEST_CASE("images: without augmentation the epoch changes nothing") {
  const ImageDataset data = dataset(some_images(3, 4, 4), "{}");
  CHECK(sample(data, 2, 0) == sample(data, 2, 9));
  CHECK(data.info().sample == lathe::Shape({4, 4, 3}));
  const ImageDataset test =
      dataset(some_images(3, 4, 4, 3, "test"), R"({"augment": [{"type": "flip", "p": 1}]})");
  CHECK(sample(test, 2, 0) == sample(data, 2, 0));
}

TEST_CASE("images: limits take the first samples of their split") {
  const char* limits = R"({"limit": 2, "eval_limit": 3})";
  const ImageDataset train = dataset(some_images(5, 2, 2), limits);
  CHECK(train.size() == 2);
  CHECK(dataset(some_images(5, 2, 2, 3, "test"), limits).size() == 3);
  CHECK(dataset(some_images(1, 2, 2), limits).size() == 1);
  CHECK(train.info().content_hash != dataset(some_images(5, 2, 2), "{}").info().content_hash);
  CHECK(train.info().content_hash == lathe::content_hash(some_images(2, 2, 2)));
}

TEST_CASE("pad_crop: the image shifted, black where it left") {
  const int64_t h = 6, w = 5, c = 3, pad = 2;
  const ImageSet images = some_images(1, h, w, c);
  const ImageDataset data = dataset(images, R"({"augment": [{"type": "pad_crop", "pad": 2}]})");
  std::set<std::pair<int64_t, int64_t>> shifts;
  for (uint32_t epoch = 0; epoch < 300; ++epoch) {
    const std::vector<int> out = bytes_of(sample(data, 0, epoch));
    int matches = 0;
    for (int64_t dy = -pad; dy <= pad; ++dy) {
      for (int64_t dx = -pad; dx <= pad; ++dx) {
        std::vector<int> expected;
        for (int64_t k = 0; k < h * w * c; ++k) {
          const int64_t y = k / (w * c) + dy, x = k / c % w + dx;
          const bool inside = 0 <= y && y < h && 0 <= x && x < w;
          expected.push_back(inside ? images.image(0)[static_cast<size_t>((y * w + x) * c + k % c)] : 0);
        }
        if (expected != out) continue;
        ++matches;
        shifts.insert({dy, dx});
      }
    }
    REQUIRE(matches == 1);
  }
  CHECK(shifts.size() == 25);
}

TEST_CASE("pad_crop: a pad larger than the image leaves black or a corner") {
  const ImageDataset data = dataset(some_images(1, 3, 3), R"({"augment": [{"type": "pad_crop", "pad": 9}]})");
  int black = 0;
  for (uint32_t epoch = 0; epoch < 100; ++epoch) {
    const std::vector<float> x = sample(data, 0, epoch);
    black += std::count(x.begin(), x.end(), 0.0f) == 27;
  }
  CHECK(black > 50);
  CHECK(black < 100);
}

TEST_CASE("flip: half of the images, mirrored") {
  const ImageSet images = some_images(1, 2, 5);
  const ImageDataset data = dataset(images, R"({"augment": [{"type": "flip"}]})");
  std::vector<int> stored(images.pixels.begin(), images.pixels.end()), mirrored;
  for (int k = 0; k < 30; ++k)
    mirrored.push_back(stored[static_cast<size_t>(k / 15 * 15 + (4 - k / 3 % 5) * 3 + k % 3)]);
  int flipped = 0;
  for (uint32_t epoch = 0; epoch < 1000; ++epoch) {
    const std::vector<int> out = bytes_of(sample(data, 0, epoch));
    REQUIRE((out == stored || out == mirrored));
    flipped += out == mirrored;
  }
  CHECK(flipped > 440);
  CHECK(flipped < 560);
}

TEST_CASE("cutout: a clipped square of the mean colour") {
  const ImageDataset data =
      dataset(some_images(1, 9, 8), R"({"normalize": {"mean": [0.5, 0.5, 0.5], "std": [1, 1, 1]},
                                                         "augment": [{"type": "cutout", "size": 4}]})");
  const std::vector<float> plain =
      sample(dataset(some_images(1, 9, 8), R"({"normalize": {"mean": [0.5, 0.5, 0.5],
                                                                          "std": [1, 1, 1]}})"),
             0, 0);
  std::set<std::ptrdiff_t> areas;
  for (uint32_t epoch = 0; epoch < 200; ++epoch) {
    const std::vector<float> x = sample(data, 0, epoch);
    int64_t top = 9, bottom = -1, left = 8, right = -1, zeros = 0;
    for (int64_t p = 0; p < 72; ++p) {
      const size_t at = static_cast<size_t>(3 * p);
      if (x[at] == 0 && x[at + 1] == 0 && x[at + 2] == 0) {
        top = std::min(top, p / 8), bottom = std::max(bottom, p / 8);
        left = std::min(left, p % 8), right = std::max(right, p % 8);
        ++zeros;
      } else {
        REQUIRE(x[at] == plain[at]);
      }
    }
    REQUIRE(zeros == (bottom - top + 1) * (right - left + 1));
    REQUIRE((bottom - top < 4 && right - left < 4));
    areas.insert(zeros);
  }
  CHECK(*areas.rbegin() == 16);
  CHECK(*areas.begin() < 16);
}

TEST_CASE("augmentation is a function of (seed, epoch, index), whatever the slot, batch and thread") {
  const char* options = R"({"augment": [{"type": "pad_crop"}, {"type": "flip"}, {"type": "cutout"}]})";
  const ImageDataset data = dataset(some_images(40, 8, 8), options);
  const int64_t bytes = 8 * 8 * 3;
  Batch forward = data.allocate(40), backward = data.allocate(40);
  for (int64_t i = 0; i < 40; ++i) data.load(i, 3, forward, i);
  lathe::parallel_for(40, 1, [&](int64_t lo, int64_t) { data.load(39 - lo, 3, backward, lo); });
  int unlike = 0;
  for (int64_t i = 0; i < 40; ++i) {
    const float* a = forward.inputs[0].ptr<float>() + i * bytes;
    const float* b = backward.inputs[0].ptr<float>() + (39 - i) * bytes;
    REQUIRE(std::equal(a, a + bytes, b));
    CHECK(forward.targets[0].ptr<int64_t>()[i] == i % 10);
    unlike += sample(data, i, 4) != sample(data, i, 3);
  }
  CHECK(unlike > 30);
  const ImageDataset other = dataset(some_images(40, 8, 8), options, 2);
  CHECK(sample(other, 0, 3) != sample(data, 0, 3));
  // Two of a kind draw their own words.
  const ImageDataset twice =
      dataset(some_images(1, 8, 8), R"({"augment": [{"type": "flip"}, {"type": "flip"}]})");
  int flipped = 0;
  const std::vector<float> plain = sample(dataset(some_images(1, 8, 8), "{}"), 0, 0);
  for (uint32_t epoch = 0; epoch < 100; ++epoch) flipped += sample(twice, 0, epoch) != plain;
  CHECK(flipped > 30);
}

TEST_CASE("mixup: the reference's batch") {
  const char* golden = std::getenv("LATHE_GOLDEN");
  if (golden == nullptr) {
    MESSAGE("SKIPPED: LATHE_GOLDEN is not set");
    return;
  }
  const auto path = std::filesystem::path(golden) / "ops" / "mixup_batch.json";
  const Value file = parse_json(lathe::read_text(path), path.string());
  const auto values = [&](const char* group, const char* name) {
    std::vector<float> out;
    for (const Value& v : file.find(group)->find(name)->find("data")->items()) {
      out.push_back(static_cast<float>(v.as_real()));
    }
    return out;
  };
  Batch batch{{Tensor::from(values("inputs", "x"), {4, 2, 3})}, {Tensor::zeros({4, 5})}, 4};
  lathe::mix_batch(batch, static_cast<float>(file.find("attrs")->find("lam")->as_real()));
  const std::vector<float> expected = values("outputs", "y");
  for (size_t i = 0; i < expected.size(); ++i)
    CHECK(std::abs(batch.inputs[0].ptr<float>()[i] - expected[i]) < 1e-6);
}

TEST_CASE("mixup: images and labels are mixed alike") {
  const ImageDataset data =
      dataset(some_images(7, 2, 2), R"({"augment": [{"type": "mixup", "alpha": 0.8}]})");
  const ImageDataset plain = dataset(some_images(7, 2, 2), "{}");
  std::set<float> weights;
  for (int64_t number = 0; number < 20; ++number) {
    Batch batch = data.allocate(7);
    REQUIRE(batch.targets[0].shape() == lathe::Shape({7, 10}));
    for (int64_t i = 0; i < 7; ++i) data.load(i, 2, batch, i);
    data.finish(batch, 2, number);
    const float lambda = batch.targets[0].ptr<float>()[0];
    weights.insert(lambda);
    for (int64_t i = 0; i < 7; ++i) {
      const float own = i == 3 ? 1 : lambda;
      const float* target = batch.targets[0].ptr<float>() + 10 * i;
      CHECK(target[i] == doctest::Approx(own).epsilon(1e-6));
      CHECK(target[6 - i] == doctest::Approx(i == 3 ? 1 : 1 - own).epsilon(1e-6));
      const std::vector<float> a = sample(plain, i, 0), b = sample(plain, 6 - i, 0);
      for (size_t k = 0; k < 12; ++k) {
        const float x = batch.inputs[0].ptr<float>()[12 * i + static_cast<int64_t>(k)];
        CHECK(std::abs(x - (own * a[k] + (1 - own) * b[k])) < 1e-6);
      }
    }
  }
  CHECK(weights.size() == 20);
}

TEST_CASE("mixup: weights follow Beta(alpha, alpha)") {
  for (const double alpha : {0.05, 0.2, 0.8, 1.0, 4.0}) {
    CAPTURE(alpha);
    constexpr int kDraws = 20000;
    double sum = 0, squares = 0;
    for (int i = 0; i < kDraws; ++i) {
      const double x = lathe::sample_beta({5, 6, 7}, i, alpha);
      REQUIRE((0 <= x && x <= 1));
      sum += x;
      squares += (x - 0.5) * (x - 0.5);
    }
    const double variance = 1 / (4 * (2 * alpha + 1));
    CHECK(std::abs(sum / kDraws - 0.5) < 4 * std::sqrt(variance / kDraws));
    CHECK(squares / kDraws == doctest::Approx(variance).epsilon(0.04));
  }
  CHECK(lathe::sample_beta({5, 6, 7}, 11, 0.3) == lathe::sample_beta({5, 6, 7}, 11, 0.3));
}

TEST_CASE("images: wrong sections name their place") {
  struct Case {
    const char* section;
    const char* message;
  };
  for (const auto& [section, message] : {
           Case{R"({"normalize": {"mean": [0, 0], "std": [1, 1, 1]}})", "normalize.mean: found 2 values"},
           Case{R"({"normalize": {"mean": [0, 0, 0], "std": [1, 0, 1]}})", "normalize.std[1]"},
           Case{R"({"normalize": {"mean": [0, 0, 0]}})", "required key 'std' is missing"},
           Case{R"({"normalize": 3})", "data.normalize: expected an object, found the integer 3"},
           Case{R"({"augment": {"type": "flip"}})", "data.augment: expected an array, found an object"},
           Case{R"({"augment": [{"type": "flip"}, {"type": "flop"}]})", "data.augment[1].type"},
           Case{R"({"augment": [{"type": "pad_crop", "pads": 4}]})", "did you mean 'pad'?"},
           Case{R"({"augment": [{"type": "mixup"}, {"type": "mixup"}]})", "labels can be mixed only once"},
           Case{R"({"augment": [{"type": "mixup", "alpha": 0}]})", "data.augment[0].alpha"},
           Case{R"({"limit": 0})", "data.limit"},
       }) {
    CAPTURE(section);
    std::string found = "nothing";
    try {
      dataset(some_images(1, 2, 2), section);
    } catch (const ConfigError& error) {
      found = error.what();
    }
    CAPTURE(found);
    CHECK(found.find(message) != std::string::npos);
    CHECK(found.starts_with("exp.json:1: "));
  }
}

TEST_SUITE_END();
