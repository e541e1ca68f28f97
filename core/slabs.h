#pragma once
// Large blocks cut from slabs, so that neighbours that are released become one place again.

#include <cstddef>
#include <functional>
#include <map>
#include <unordered_map>
#include <utility>

namespace lathe {

/// A step needs many small activations first and a few large gradients later: blocks that keep their size
/// would stand beside each other, here one takes the other's place. The first free place that is long enough
/// is taken, touched ones before others, in the order in which slabs came: addresses decide nothing. Of a
/// slab only what was touched is memory of the system's.
class Slabs {
 public:
  static constexpr size_t kSlab = size_t{64} << 20;

  struct Taken {
    void* block;   ///< null: no place is long enough
    size_t fresh;  ///< bytes of it that no block has touched yet
  };
  Taken take(size_t size);
  /// A new slab, untouched.
  void add(void* slab, size_t bytes);
  /// The size that `block` was taken with; 0: it is of no slab.
  size_t release(void* block);
  /// Gives up free memory: release(slab) for slabs without a block, discard(from, bytes) for places of others
  /// where blocks were.
  void trim(const std::function<void(void*)>& release, const std::function<void(void*, size_t)>& discard);

 private:
  struct Position {
    size_t slab, offset;
    auto operator<=>(const Position&) const = default;
  };
  struct Place {
    size_t bytes, touched;
  };
  using Free = std::map<Position, Place>;

  struct Used {
    Position at;
    size_t bytes;
  };

  Free::iterator merged(Free::iterator left, Free::iterator right);

  std::map<size_t, std::pair<std::byte*, size_t>> slabs_;  // by number
  Free free_;
  std::unordered_map<void*, Used> used_;  // looked up, never iterated
  size_t next_ = 0;
};

}  // namespace lathe
