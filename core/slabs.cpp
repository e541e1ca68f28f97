#include "core/slabs.h"

#include <algorithm>
#include <iterator>

namespace lathe {

Slabs::Taken Slabs::take(size_t size) {
  const auto serves = [size](bool touched) {
    return [size, touched](const Free::value_type& place) {
      return (touched ? std::min(place.second.touched, place.second.bytes) : place.second.bytes) >= size;
    };
  };
  auto it = std::find_if(free_.begin(), free_.end(), serves(true));
  if (it == free_.end()) it = std::find_if(free_.begin(), free_.end(), serves(false));
  if (it == free_.end()) return {nullptr, 0};
  const auto [at, place] = *it;
  const size_t touched = std::min(size, place.touched);
  void* block = slabs_.at(at.slab).first + at.offset;
  used_[block] = {at, size};
  free_.erase(it);
  if (place.bytes > size) free_[{at.slab, at.offset + size}] = {place.bytes - size, place.touched - touched};
  return {block, size - touched};
}

void Slabs::add(void* slab, size_t bytes) {
  slabs_[next_] = {static_cast<std::byte*>(slab), bytes};
  free_[{next_, 0}] = {bytes, 0};
  ++next_;
}

Slabs::Free::iterator Slabs::merged(Free::iterator left, Free::iterator right) {
  const bool adjacent =
      left->first.slab == right->first.slab && left->first.offset + left->second.bytes == right->first.offset;
  if (!adjacent) return right;
  left->second.bytes += right->second.bytes;
  left->second.touched += right->second.touched;
  free_.erase(right);
  return left;
}

size_t Slabs::release(void* block) {
  const auto found = used_.find(block);
  if (found == used_.end()) return 0;
  const Used used = found->second;
  auto it = free_.emplace(used.at, Place{used.bytes, used.bytes}).first;
  used_.erase(found);
  if (it != free_.begin()) it = merged(std::prev(it), it);
  if (std::next(it) != free_.end()) merged(it, std::next(it));
  return used.bytes;
}

void Slabs::trim(const std::function<void(void*)>& release,
                 const std::function<void(void*, size_t)>& discard) {
  for (auto it = free_.begin(); it != free_.end();) {
    const auto slab = slabs_.find(it->first.slab);
    const auto [memory, bytes] = slab->second;
    if (it->second.bytes == bytes) {
      release(memory);
      slabs_.erase(slab);
      it = free_.erase(it);
      continue;
    }
    if (it->second.touched > 0) discard(memory + it->first.offset, it->second.bytes);
    it->second.touched = 0;
    ++it;
  }
}

}  // namespace lathe
