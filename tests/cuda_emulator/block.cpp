// One block of threads: fibers on one thread of the operating system.

#include "tests/cuda_emulator/block.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "tests/cuda_emulator/context.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulator {
namespace {

constexpr size_t kStack = 256 * 1024;
constexpr int kWarpSize = 32;

enum class State { Ready, AtBlockBarrier, AtWarpBarrier };

/// Runs threads of the block one after another until one has to wait; then it holds that one.
struct Fiber {
  Context context;
  std::unique_ptr<char[]> stack = std::make_unique_for_overwrite<char[]>(kStack);
  unsigned thread = 0;
  State state = State::Ready;
  void* fake_stack = nullptr;
};

/// Threads and blocks in the other order: what depends on theirs shows as a difference.
bool backwards() {
  static const bool set = std::getenv("LATHE_EMULATOR_BACKWARDS") != nullptr;
  return set;
}

class Block {
 public:
  void run(dim3 block, size_t shared_bytes, const std::function<void()>& body) {
    size_ = block.x * block.y * block.z;
    shape_ = block;
    body_ = &body;
    next_ = 0;
    finished_ = 0;
    shared_.assign(shared_bytes / sizeof(Aligned) + 1, Aligned{});
    std::fill(reinterpret_cast<unsigned char*>(shared_.data()),
              reinterpret_cast<unsigned char*>(shared_.data() + shared_.size()), 0xFF);
    warp_values_.assign(static_cast<size_t>((size_ + kWarpSize - 1) / kWarpSize), {});
    unfinished_of_warp_.assign(warp_values_.size(), 0);
    for (unsigned t = 0; t < size_; ++t) ++unfinished_of_warp_[t / kWarpSize];
    while (finished_ < size_) {
      bool progress = false;
      while (next_ < size_) {  // threads that did not begin yet
        start(idle_fiber());
        progress = true;
      }
      resuming_.swap(waiting_);  // who waits again lands in waiting_
      if (backwards()) {
        std::sort(resuming_.begin(), resuming_.end(),
                  [](const Fiber* a, const Fiber* b) { return a->thread > b->thread; });
      }
      for (Fiber* fiber : resuming_) {
        if (fiber->state != State::Ready) {
          waiting_.push_back(fiber);
        } else {
          resume(fiber);
          progress = true;
        }
      }
      resuming_.clear();
      progress |= release_barriers();
      if (!progress) fail("a barrier that some threads never reach");
    }
  }

  void block_barrier() { wait(State::AtBlockBarrier); }
  void warp_barrier() { wait(State::AtWarpBarrier); }

  int lane() const { return static_cast<int>(running_->thread % kWarpSize); }

  void exchange(void* value, size_t bytes, int source) {
    if (bytes > sizeof(Slot)) fail("a value of more than 16 bytes in a shuffle");
    auto& slots = warp_values_[running_->thread / kWarpSize];
    const unsigned thread = running_->thread;
    const auto mine = static_cast<size_t>(thread % kWarpSize);
    std::memcpy(slots[mine].bytes, value, bytes);
    slots[mine].filled = true;
    warp_barrier();
    const auto other = static_cast<size_t>(source);
    if (other >= kWarpSize || !slots[other].filled) fail("a shuffle from a lane that takes no part");
    std::memcpy(value, slots[other].bytes, bytes);
    warp_barrier();
    slots[mine].filled = false;
    warp_barrier();
  }

  void* shared() { return shared_.data(); }

 private:
  struct alignas(16) Aligned {
    unsigned char bytes[16];
  };
  struct Slot {
    unsigned char bytes[16];
    bool filled = false;
  };

  [[noreturn]] static void fail(const char* what) {
    std::fprintf(stderr, "CUDA emulator: block (%u, %u, %u): %s\n", blockIdx.x, blockIdx.y, blockIdx.z, what);
    std::abort();
  }

  Fiber* idle_fiber() {
    if (idle_.empty()) {
      all_.push_back(std::make_unique<Fiber>());
      return all_.back().get();
    }
    Fiber* fiber = idle_.back();
    idle_.pop_back();
    return fiber;
  }

  void start(Fiber* fiber) {
    prepare(fiber->context, fiber->stack.get(), kStack, &Block::enter);
    fiber->fake_stack = nullptr;
    switch_to(fiber);
  }
  void resume(Fiber* fiber) { switch_to(fiber); }

  void switch_to(Fiber* fiber) {
    running_ = fiber;
    set_coordinates();
#if defined(__SANITIZE_ADDRESS__)
    void* mine = nullptr;
    __sanitizer_start_switch_fiber(&mine, fiber->stack.get(), kStack);
    switch_context(scheduler_, fiber->context);
    __sanitizer_finish_switch_fiber(mine, nullptr, nullptr);
#else
    switch_context(scheduler_, fiber->context);
#endif
    running_ = nullptr;
  }

  void back_to_scheduler(Fiber* fiber, bool for_ever) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(for_ever ? nullptr : &fiber->fake_stack, scheduler_stack_,
                                   scheduler_size_);
    switch_context(fiber->context, scheduler_);
    __sanitizer_finish_switch_fiber(fiber->fake_stack, &scheduler_stack_, &scheduler_size_);
#else
    (void)for_ever;
    switch_context(fiber->context, scheduler_);
#endif
  }

  static void enter();

  void work(Fiber* fiber) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack_, &scheduler_size_);
#endif
    while (next_ < size_) {
      fiber->thread = backwards() ? size_ - 1 - next_ : next_;
      ++next_;
      fiber->state = State::Ready;
      set_coordinates();
      (*body_)();
      ++finished_;
      --unfinished_of_warp_[fiber->thread / kWarpSize];
    }
    idle_.push_back(fiber);
    back_to_scheduler(fiber, true);
  }

  void wait(State state) {
    Fiber* fiber = running_;
    fiber->state = state;
    waiting_.push_back(fiber);
    back_to_scheduler(fiber, false);
  }

  bool release_barriers() {
    size_t at_block = 0;
    std::vector<unsigned>& at_warp = at_warp_;
    at_warp.assign(warp_values_.size(), 0);
    for (const Fiber* fiber : waiting_) {
      at_block += fiber->state == State::AtBlockBarrier ? 1 : 0;
      at_warp[fiber->thread / kWarpSize] += fiber->state == State::AtWarpBarrier ? 1 : 0;
    }
    bool released = false;
    if (at_block > 0 && at_block == size_ - finished_) {
      for (Fiber* fiber : waiting_) fiber->state = State::Ready;
      return true;
    }
    for (Fiber* fiber : waiting_) {
      const size_t warp = fiber->thread / kWarpSize;
      if (fiber->state != State::AtWarpBarrier || at_warp[warp] != unfinished_of_warp_[warp]) continue;
      fiber->state = State::Ready;
      released = true;
    }
    return released;
  }

  void set_coordinates() {
    const unsigned t = running_->thread;
    threadIdx = {t % shape_.x, t / shape_.x % shape_.y, t / (shape_.x * shape_.y)};
  }

  unsigned size_ = 0, next_ = 0, finished_ = 0;
  dim3 shape_;
  const std::function<void()>* body_ = nullptr;
  Fiber* running_ = nullptr;
  Context scheduler_;
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_size_ = 0;
  std::vector<std::unique_ptr<Fiber>> all_;
  std::vector<Fiber*> idle_, waiting_, resuming_;
  std::vector<Aligned> shared_;
  std::vector<std::array<Slot, kWarpSize>> warp_values_;
  std::vector<unsigned> unfinished_of_warp_, at_warp_;
};

Block& the_block() {
  static auto* block = new Block;
  return *block;
}

void Block::enter() {
  Block& block = the_block();
  block.work(block.running_);
}

}  // namespace

void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body) {
  gridDim = grid;
  blockDim = block;
  const unsigned blocks = grid.x * grid.y * grid.z;
  for (unsigned n = 0; n < blocks; ++n) {
    const unsigned i = backwards() ? blocks - 1 - n : n;
    blockIdx = {i % grid.x, i / grid.x % grid.y, i / (grid.x * grid.y)};
    the_block().run(block, shared_bytes, body);
  }
}

int lane() {
  return the_block().lane();
}

void exchange(void* value, size_t bytes, int source) {
  the_block().exchange(value, bytes, source);
}

void* dynamic_shared_memory() {
  return the_block().shared();
}

}  // namespace emulator

void __syncthreads() {
  emulator::the_block().block_barrier();
}

void __syncwarp(unsigned) {
  emulator::the_block().warp_barrier();
}

unsigned __ballot_sync(unsigned, int predicate) {
  unsigned word = 0;
  for (int source = 0; source < 32; ++source) {
    int value = predicate;
    emulator::exchange(&value, sizeof value, source);
    word |= static_cast<unsigned>(value != 0) << source;
  }
  return word;
}
