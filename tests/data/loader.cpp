#include "data/loader.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "core/allocator.h"
#include "core/error.h"

using lathe::Batch;
using lathe::DataError;
using lathe::DType;
using lathe::Loader;
using lathe::LoaderOptions;
using lathe::Tensor;

namespace {

// Sample i of epoch e is the number 1000 e + i; its label is i.
class Numbers : public lathe::Dataset {
 public:
  explicit Numbers(int64_t size) : size_(size) { info_.sample = {1}; }

  int64_t size() const override { return size_; }
  const lathe::DatasetInfo& info() const override { return info_; }
  Batch allocate(int64_t n) const override {
    ++allocations;
    return {{Tensor::empty({n, 1})}, {Tensor::empty({n}, DType::I64)}, n};
  }
  void load(int64_t index, uint32_t epoch, Batch& batch, int64_t slot) const override {
    if (index == failing) LATHE_THROW(DataError, "sample ", index, " is damaged");
    std::this_thread::sleep_for(delay);
    batch.inputs[0].mut<float>()[slot] = static_cast<float>(1000 * epoch + index);
    batch.targets[0].mut<int64_t>()[slot] = index;
  }
  void finish(Batch& batch, uint32_t, int64_t number) const override {
    batch.targets[0].mut<int64_t>()[0] += 10000 * number;  // so that tests see the number
  }

  int64_t failing = -1;
  std::chrono::microseconds delay{0};
  mutable std::atomic<int> allocations = 0;

 private:
  int64_t size_;
  lathe::DatasetInfo info_;
};

struct Epoch {
  std::vector<float> inputs;
  std::vector<int64_t> targets, sizes;
  bool operator==(const Epoch&) const = default;
};

Epoch rest(Loader& loader) {
  Epoch epoch;
  Batch batch;
  while (loader.next(batch)) {
    REQUIRE(batch.inputs[0].dim(0) == batch.size);
    REQUIRE(batch.targets[0].dim(0) == batch.size);
    const auto x = batch.inputs[0].span<float>();
    const auto t = batch.targets[0].span<int64_t>();
    epoch.inputs.insert(epoch.inputs.end(), x.begin(), x.end());
    epoch.targets.insert(epoch.targets.end(), t.begin(), t.end());
    epoch.sizes.push_back(batch.size);
  }
  return epoch;
}

Epoch read_epoch(const Numbers& data, const LoaderOptions& options, uint32_t epoch, int64_t first = 0) {
  Loader loader(data, options);
  loader.start(epoch, first);
  return rest(loader);
}

}  // namespace

TEST_SUITE_BEGIN("data");

TEST_CASE("loader: every sample once, in order, with a smaller last batch") {
  const Numbers data(10);
  for (const int prefetch : {0, 1, 3}) {
    CAPTURE(prefetch);
    const Epoch epoch = read_epoch(data, {.batch = 4, .prefetch = prefetch}, 2);
    CHECK(epoch.sizes == std::vector<int64_t>{4, 4, 2});
    std::vector<float> expected(10);
    std::iota(expected.begin(), expected.end(), 2000.0f);
    CHECK(epoch.inputs == expected);
    CHECK(epoch.targets[4] == 10004);  // finish() saw batch 1
    CHECK(epoch.targets[8] == 20008);
    CHECK(read_epoch(data, {.batch = 4, .drop_last = true, .prefetch = prefetch}, 2).sizes ==
          std::vector<int64_t>{4, 4});
  }
}

TEST_CASE("loader: a shuffled epoch is a permutation of (seed, epoch) alone") {
  const Numbers data(1000);
  const LoaderOptions options{.batch = 64, .shuffle = true, .seed = 7};
  const Epoch first = read_epoch(data, options, 1);
  for (const int prefetch : {0, 1, 5}) {
    LoaderOptions other = options;
    other.prefetch = prefetch;
    CHECK(read_epoch(data, other, 1) == first);
  }
  std::vector<float> sorted = first.inputs;
  std::sort(sorted.begin(), sorted.end());
  for (int64_t i = 0; i < 1000; ++i) REQUIRE(sorted[static_cast<size_t>(i)] == static_cast<float>(1000 + i));
  CHECK(sorted != first.inputs);

  LoaderOptions other = options;
  other.seed = 8;
  CHECK(read_epoch(data, other, 1).inputs != first.inputs);
  Epoch next = read_epoch(data, options, 2);
  for (float& x : next.inputs) x -= 1000;
  CHECK(next.inputs != first.inputs);
}

TEST_CASE("loader: numbers of samples instead of samples") {
  Numbers data(10);
  data.failing = 3;  // nothing is loaded
  const auto read = [&](Loader& loader) {
    std::vector<int64_t> indices;
    Batch batch;
    while (loader.next(batch)) {
      CHECK(batch.targets.empty());
      CHECK(batch.inputs.at(0).shape() == lathe::Shape{batch.size});
      const auto numbers = batch.inputs[0].span<int64_t>();
      indices.insert(indices.end(), numbers.begin(), numbers.end());
    }
    return indices;
  };
  for (const int prefetch : {0, 2}) {
    LoaderOptions options{.batch = 4, .shuffle = true, .seed = 3, .prefetch = prefetch, .indices = true};
    Loader loader(data, options);
    loader.start(5);
    const std::vector<int64_t> indices = read(loader);
    loader.start(5, 1);
    CHECK(read(loader) == std::vector<int64_t>(indices.begin() + 4, indices.end()));
    data.failing = -1;
    options.indices = false;
    const Epoch samples = read_epoch(data, options, 5);
    REQUIRE(indices.size() == 10);
    for (size_t i = 0; i < 10; ++i) CHECK(samples.inputs[i] == static_cast<float>(5000 + indices[i]));
    data.failing = 3;
  }
}

TEST_CASE("loader: resuming in the middle of an epoch equals going on") {
  const Numbers data(130);
  const LoaderOptions options{.batch = 16, .shuffle = true, .seed = 3};
  const Epoch whole = read_epoch(data, options, 4);
  for (int64_t first = 0; first <= 9; ++first) {
    CAPTURE(first);
    const Epoch part = read_epoch(data, options, 4, first);
    const auto skipped = std::min<int64_t>(16 * first, 130);
    CHECK(part.inputs == std::vector<float>(whole.inputs.begin() + skipped, whole.inputs.end()));
    CHECK(part.targets == std::vector<int64_t>(whole.targets.begin() + skipped, whole.targets.end()));
  }
  Loader loader(data, options);
  CHECK_THROWS_WITH_AS(loader.start(0, 10), "loader: cannot start at batch 10 of an epoch of 9",
                       lathe::ConfigError);
}

TEST_CASE("loader: an epoch may be left at any time") {
  Numbers data(64);
  data.delay = std::chrono::microseconds(50);
  const LoaderOptions options{.batch = 8, .shuffle = true, .seed = 1, .prefetch = 3};
  const Epoch expected = read_epoch(data, options, 9);
  Loader loader(data, options);
  Batch batch;
  CHECK_FALSE(loader.next(batch));  // before the first start
  for (uint32_t epoch = 0; epoch < 8; ++epoch) {
    loader.start(epoch);
    for (uint32_t i = 0; i < epoch; ++i) REQUIRE(loader.next(batch));
  }
  loader.start(9);
  CHECK(rest(loader) == expected);
  CHECK_FALSE(loader.next(batch));
  for (int taken = 0; taken < 4; ++taken) {  // and dropped, with batches prepared or in preparation
    Loader dropped(data, options);
    dropped.start(0);
    for (int i = 0; i < taken; ++i) REQUIRE(dropped.next(batch));
  }
}

TEST_CASE("loader: memory goes round") {
  const Numbers data(100);
  Loader loader(data, {.batch = 8, .shuffle = true, .prefetch = 2});
  Batch batch;
  loader.start(0);
  while (loader.next(batch)) {
  }
  const auto before = lathe::host_allocator::stats().requests;
  const int allocations = data.allocations;
  CHECK(allocations <= 4);  // two ready, one in preparation, one lent
  for (uint32_t epoch = 1; epoch < 4; ++epoch) {
    loader.start(epoch);
    while (loader.next(batch)) {
    }
  }
  // The warm-up may have needed fewer buffers than the worst case.
  CHECK(data.allocations <= 4);
  CHECK(lathe::host_allocator::stats().requests - before ==
        2 * static_cast<uint64_t>(data.allocations - allocations));
}

TEST_CASE("loader: a tensor that the caller keeps is not written again") {
  const Numbers data(64);
  for (const int prefetch : {0, 2}) {
    Loader loader(data, {.batch = 8, .prefetch = prefetch});
    loader.start(0);
    Batch batch;
    std::vector<Tensor> kept;
    while (loader.next(batch)) kept.push_back(batch.inputs[0]);
    REQUIRE(kept.size() == 8);
    for (size_t i = 0; i < kept.size(); ++i) CHECK(kept[i].ptr<float>()[0] == static_cast<float>(8 * i));
  }
}

TEST_CASE("loader: an exception arrives at its batch and ends the epoch") {
  Numbers data(64);
  data.failing = 20;
  for (const int prefetch : {0, 3}) {
    CAPTURE(prefetch);
    Loader loader(data, {.batch = 8, .prefetch = prefetch});
    loader.start(0);
    Batch batch;
    CHECK(loader.next(batch));
    CHECK(loader.next(batch));
    CHECK_THROWS_WITH_AS(loader.next(batch), "sample 20 is damaged", DataError);
    CHECK_FALSE(loader.next(batch));
    loader.start(0, 3);
    CHECK(rest(loader).sizes.size() == 5);
  }
}

TEST_CASE("loader: refuses impossible options") {
  const Numbers data(4);
  CHECK_THROWS_WITH_AS(Loader(data, {.batch = 0}), "loader: batch is 0, expected at least 1",
                       lathe::ConfigError);
  CHECK_THROWS_AS(Loader(data, {.prefetch = -1}), lathe::ConfigError);
  CHECK(read_epoch(Numbers(0), {.batch = 4}, 0).sizes.empty());
  CHECK(read_epoch(data, {.batch = 8, .drop_last = true}, 0).sizes.empty());
}

TEST_SUITE_END();
