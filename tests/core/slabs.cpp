#include "core/slabs.h"

#include <vector>

#include <doctest/doctest.h>

namespace lathe {
namespace {

TEST_SUITE_BEGIN("core");

TEST_CASE("slabs: released neighbours serve a block of their common size") {
  std::vector<std::byte> memory(100);
  Slabs slabs;
  CHECK(slabs.take(10).block == nullptr);
  slabs.add(memory.data(), memory.size());
  void* const a = slabs.take(40).block;
  void* const b = slabs.take(40).block;
  CHECK(a == memory.data());
  CHECK(b == memory.data() + 40);
  CHECK(slabs.take(40).block == nullptr);
  CHECK(slabs.release(a) == 40);
  CHECK(slabs.release(b) == 40);
  CHECK(slabs.release(b) == 0);
  const Slabs::Taken both = slabs.take(90);
  CHECK(both.block == memory.data());
  CHECK(both.fresh == 10);
}

TEST_CASE("slabs: touched memory is taken before fresh memory") {
  std::vector<std::byte> first(100), second(100);
  Slabs slabs;
  slabs.add(first.data(), first.size());
  slabs.add(second.data(), second.size());
  CHECK(slabs.take(60).fresh == 60);
  void* const in_second = slabs.take(50).block;
  CHECK(in_second == second.data());
  slabs.release(in_second);
  const Slabs::Taken again = slabs.take(30);
  CHECK(again.block == second.data());
  CHECK(again.fresh == 0);
}

TEST_CASE("slabs: trim gives back empty slabs and discards free places of others") {
  std::vector<std::byte> first(100), second(100);
  Slabs slabs;
  slabs.add(first.data(), first.size());
  slabs.add(second.data(), second.size());
  void* const kept = slabs.take(60).block;
  void* const in_first = slabs.take(40).block;
  void* const in_second = slabs.take(100).block;
  slabs.release(in_first);
  slabs.release(in_second);
  std::vector<void*> released, discarded;
  slabs.trim([&](void* slab) { released.push_back(slab); },
             [&](void* from, size_t) { discarded.push_back(from); });
  CHECK(released == std::vector<void*>{second.data()});
  CHECK(discarded == std::vector<void*>{first.data() + 60});
  CHECK(slabs.take(40).fresh == 40);
  CHECK(slabs.release(kept) == 60);
}

TEST_SUITE_END();

}  // namespace
}  // namespace lathe
