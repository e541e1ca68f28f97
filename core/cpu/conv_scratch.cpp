#include "core/cpu/conv_scratch.h"

#include <map>
#include <mutex>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "core/allocator.h"
#include "core/parallel.h"

namespace lathe::cpu {
namespace {

/// What was put aside for the threads that have not met a variable yet, and what they outgrew: given back
/// when more is put aside, not when a thread happens to come by, which would move other blocks of a later
/// step.
struct Aside {
  size_t bytes = 0;  // of a block
  std::vector<void*> blocks = {};
  std::vector<std::pair<void*, size_t>> outgrown = {};

  void reserve(size_t size, int count) {
    for (void* block : blocks) host_allocator::release(block, bytes);
    for (const auto& [block, old] : outgrown) host_allocator::release(block, old);
    blocks.clear();
    outgrown.clear();
    bytes = size;
    for (int i = 0; i < count; ++i) blocks.push_back(host_allocator::allocate(bytes));
  }
};

using Variable = std::tuple<std::string_view, uint32_t, uint32_t>;

struct Store {
  std::mutex mutex;
  std::map<Variable, Aside> of;
};

// Never destroyed: threads may end after any static object.
Store& store() {
  static auto* instance = new Store;
  return *instance;
}

}  // namespace

void ConvScratch::grow(size_t bytes) {
  const bool shared = inside_parallel_loop();
  if (!shared && bytes <= bytes_) return;
  const std::lock_guard lock(store().mutex);
  Aside& aside = store().of[{variable_.file_name(), variable_.line(), variable_.column()}];
  const int own = bytes > bytes_ ? 1 : 0;
  if (shared && bytes > aside.bytes) aside.reserve(bytes, num_threads() - 1 + own);
  if (shared) set_aside_ = aside.bytes;
  if (bytes <= bytes_) return;
  if (bytes <= aside.bytes && !aside.blocks.empty()) {
    if (block_ != nullptr) aside.outgrown.emplace_back(block_, bytes_);
    block_ = aside.blocks.back();
    aside.blocks.pop_back();
    bytes_ = aside.bytes;
  } else {
    drop();
    block_ = host_allocator::allocate(bytes);
    bytes_ = bytes;
  }
}

void ConvScratch::drop() noexcept {
  if (block_ != nullptr) host_allocator::release(block_, bytes_);
  block_ = nullptr;
  bytes_ = 0;
}

}  // namespace lathe::cpu
