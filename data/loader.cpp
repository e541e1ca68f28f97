#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <numeric>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/philox.h"

namespace lathe {
namespace {

// Memory of one batch. `view` holds the first samples of `whole`: the last batch of an epoch may be smaller.
struct Buffer {
  Batch whole, view;
};

void set_view(Buffer& buffer, int64_t size) {
  const auto first_rows = [size](std::vector<Tensor>& to, const std::vector<Tensor>& from) {
    to.clear();
    for (const Tensor& tensor : from) to.push_back(tensor.rows(0, size));
  };
  first_rows(buffer.view.inputs, buffer.whole.inputs);
  first_rows(buffer.view.targets, buffer.whole.targets);
  buffer.view.size = size;
}

// True when no handle but the buffer's own is left, so that its memory may be written again.
bool unshared(const Buffer& buffer) {
  for (const auto* tensors : {&buffer.whole.inputs, &buffer.whole.targets}) {
    for (const Tensor& tensor : *tensors) {
      if (!tensor.unique()) return false;
    }
  }
  return true;
}

struct Prepared {
  Buffer buffer;
  std::exception_ptr error;
};

}  // namespace

struct Loader::State {
  const Dataset& dataset;
  const LoaderOptions options;
  int64_t batches = 0;

  int64_t repeats = 1;  // of each sample, in a row
  int64_t samples = 0;  // of an epoch

  // Written by start() while the workers are idle, read by them.
  std::vector<int64_t> order;  // empty: samples come in their own order
  uint32_t epoch = 0;

  Buffer lent;  // what the last next() handed out

  std::mutex mutex;  // guards what follows
  std::condition_variable worker_wakes, caller_wakes;
  int64_t upcoming = 0;  // number of the next batch to prepare; `batches`: none
  int64_t due = 0;       // number of the next batch to hand out
  int working = 0;       // batches that workers prepare now
  bool stopping = false;
  std::map<int64_t, Prepared> ready;  // by number
  std::vector<Buffer> spare;
  std::vector<std::thread> workers;

  State(const Dataset& data, const LoaderOptions& o) : dataset(data), options(o) {}

  Buffer take_spare() {
    if (spare.empty()) return {};
    Buffer buffer = std::move(spare.back());
    spare.pop_back();
    return buffer;
  }

  Batch allocate() const {
    if (!options.indices) return dataset.allocate(options.batch);
    return {{Tensor::empty({options.batch}, DType::I64)}, {}, options.batch};
  }

  void prepare(Buffer& buffer, int64_t number) const {
    if (buffer.whole.inputs.empty()) buffer.whole = allocate();
    const int64_t first = number * options.batch;
    const int64_t size = std::min(options.batch, samples - first);
    set_view(buffer, size);
    for (int64_t slot = 0; slot < size; ++slot) {
      const int64_t place = first + slot;
      const int64_t index = order.empty() ? place : order[static_cast<size_t>(place / repeats)];
      if (options.indices) {
        buffer.view.inputs[0].mut<int64_t>()[slot] = index;
      } else {
        const auto view = static_cast<uint32_t>(epoch * repeats + place % repeats);
        dataset.load(index, view, buffer.view, slot);
      }
    }
    if (!options.indices) dataset.finish(buffer.view, epoch, number);
  }

  // Takes the mutex's `lock`, gives it up while it works, and holds it again afterwards.
  void prepare_one(std::unique_lock<std::mutex>& lock) {
    const int64_t number = upcoming++;
    Prepared prepared{take_spare(), nullptr};
    ++working;
    lock.unlock();
    try {
      prepare(prepared.buffer, number);
    } catch (...) {
      prepared.error = std::current_exception();
    }
    lock.lock();
    --working;
    if (prepared.error) upcoming = batches;
    ready.emplace(number, std::move(prepared));
  }

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      worker_wakes.wait(lock, [this] {
        const int ahead = working + static_cast<int>(ready.size());
        return stopping || (upcoming < batches && ahead < options.prefetch);
      });
      if (stopping) return;
      prepare_one(lock);
      caller_wakes.notify_one();
    }
  }

  // Stops preparing and takes back what was prepared.
  void idle(std::unique_lock<std::mutex>& lock) {
    upcoming = batches;
    caller_wakes.wait(lock, [this] { return working == 0; });
    for (auto& [number, prepared] : ready) spare.push_back(std::move(prepared.buffer));
    ready.clear();
  }
};

int64_t samples_per_epoch(const Dataset& dataset) {
  constexpr int64_t kMultiple = 256;  // DeiT's
  const int64_t size = dataset.size();
  return dataset.repeats() == 1 || size < kMultiple ? size : size / kMultiple * kMultiple;
}

Loader::Loader(const Dataset& dataset, const LoaderOptions& options)
    : state_(std::make_unique<State>(dataset, options)) {
  LATHE_CHECK(ConfigError, options.batch >= 1, "loader: batch is ", options.batch, ", expected at least 1");
  LATHE_CHECK(ConfigError, options.prefetch >= 0, "loader: prefetch is ", options.prefetch,
              ", expected at least 0");
  LATHE_CHECK(ConfigError, dataset.size() <= UINT32_MAX, "loader: ", dataset.size(),
              " samples are more than an order can hold (2^32 - 1)");
  State& s = *state_;
  s.samples = options.shuffle ? samples_per_epoch(dataset) : dataset.size();
  if (options.shuffle) s.repeats = dataset.repeats();
  s.batches = (s.samples + (options.drop_last ? 0 : options.batch - 1)) / options.batch;
  s.upcoming = s.batches;
  for (int i = 0; i < options.prefetch; ++i) s.workers.emplace_back([&s] { s.work(); });
}

Loader::~Loader() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->worker_wakes.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

int64_t Loader::batches_per_epoch() const {
  return state_->batches;
}

void Loader::start(uint32_t epoch, int64_t first) {
  State& s = *state_;
  LATHE_CHECK(ConfigError, 0 <= first && first <= s.batches, "loader: cannot start at batch ", first,
              " of an epoch of ", s.batches);
  std::unique_lock lock(s.mutex);
  s.idle(lock);
  s.epoch = epoch;
  if (s.options.shuffle) {  // Fisher and Yates
    s.order.resize(static_cast<size_t>(s.dataset.size()));
    std::iota(s.order.begin(), s.order.end(), int64_t{0});
    const Philox philox{s.options.seed, stream_id("shuffle"), epoch};
    for (size_t i = s.order.size(); i-- > 1;) {
      std::swap(s.order[i], s.order[philox.below(i, static_cast<uint32_t>(i + 1))]);
    }
  }
  s.upcoming = s.due = first;
  s.worker_wakes.notify_all();
}

bool Loader::next(Batch& batch) {
  State& s = *state_;
  batch.inputs.clear();
  batch.targets.clear();
  batch.size = 0;
  std::unique_lock lock(s.mutex);
  Buffer returned = std::exchange(s.lent, {});
  if (!returned.whole.inputs.empty() && unshared(returned)) s.spare.push_back(std::move(returned));
  if (s.options.prefetch == 0 && s.upcoming < s.batches) s.prepare_one(lock);
  s.caller_wakes.wait(
      lock, [&s] { return s.ready.contains(s.due) || (s.upcoming == s.batches && s.working == 0); });
  const auto found = s.ready.find(s.due);
  if (found == s.ready.end()) return false;
  Prepared prepared = std::move(found->second);
  s.ready.erase(found);
  ++s.due;
  if (prepared.error) {
    s.idle(lock);
    std::rethrow_exception(prepared.error);
  }
  lock.unlock();
  s.worker_wakes.notify_one();
  s.lent = std::move(prepared.buffer);
  std::swap(batch, s.lent.view);
  return true;
}

}  // namespace lathe
