#pragma once
// The host's caching allocator: after warm-up a training step finds every block it needs in the cache.

#include <cstddef>
#include <cstdint>

namespace lathe {

/// Counters since the process began (bytes are rounded block sizes).
struct AllocatorStats {
  uint64_t system_allocations = 0;  ///< calls that reached the operating system
  uint64_t requests = 0;            ///< calls of allocate
  size_t live_bytes = 0;            ///< handed out and not yet released
  size_t cached_bytes = 0;          ///< released and kept for reuse
  size_t peak_live_bytes = 0;       ///< largest live_bytes so far, see reset_peak
  size_t system_bytes = 0;          ///< blocks that came from the system and did not go back
  size_t peak_system_bytes = 0;     ///< largest system_bytes so far, see reset_peak
};

/// The host's BlockCache (core/block_cache.h), aligned to 64 bytes. Since a block serves requests down to
/// half its size, an epoch's shorter last batch finds its place in the blocks of the others.
namespace host_allocator {
/// Memory for `bytes` (> 0); OutOfMemoryError with the size asked for when there is none.
void* allocate(size_t bytes);
void release(void* block, size_t bytes) noexcept;
AllocatorStats stats();
void reset_peak();
/// Gives the cached blocks back to the operating system.
void trim();

/// For tests. While guards are on, a new block is filled with bytes that read as NaN, stands between two
/// bands of known bytes, comes from the system and returns there; blocks from before are not touched. Returns
/// the previous setting.
bool set_guards(bool on);
/// Guarded blocks whose bands were written to: of those released so far and of the live ones.
uint64_t guard_violations();
}  // namespace host_allocator

}  // namespace lathe
