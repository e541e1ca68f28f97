#pragma once
// Memory of captured graphs.

#include <memory>

#include "core/block_cache.h"
#include "core/dtype.h"

namespace lathe::cuda {

/// A cache of its own. A block goes back to the cache that it came from, which lives as long as any of its
/// blocks is in use.
std::shared_ptr<BlockCache> make_private_pool(Device device);

/// While alive, this thread's tensors on `device` come from `pool`.
class UsePool {
 public:
  UsePool(Device device, std::shared_ptr<BlockCache> pool);
  UsePool(const UsePool&) = delete;
  UsePool& operator=(const UsePool&) = delete;
  ~UsePool();
};

}  // namespace lathe::cuda
