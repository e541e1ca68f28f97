#include <cmath>
#include <cstring>

#include <doctest/doctest.h>

#include "core/block_cache.h"
#include "core/tensor.h"
#include "tests/support/guards.h"

namespace lathe {

TEST_SUITE_BEGIN("core");

TEST_CASE("allocator: a released block of the same size is handed out again") {
  const Tensor warm = Tensor::empty({1000});
  { const Tensor first = Tensor::empty({100000}); }
  const uint64_t system = host_allocator::stats().system_allocations;
  for (int i = 0; i < 10; ++i) const Tensor again = Tensor::empty({100000});
  CHECK(host_allocator::stats().system_allocations == system);
}

TEST_CASE("allocator: live and peak bytes follow blocks") {
  const AllocatorStats before = host_allocator::stats();
  host_allocator::reset_peak();
  {
    const Tensor x = Tensor::empty({1 << 20}, DType::U8);
    CHECK(host_allocator::stats().live_bytes == before.live_bytes + (1 << 20));
  }
  CHECK(host_allocator::stats().live_bytes == before.live_bytes);
  CHECK(host_allocator::stats().peak_live_bytes == before.live_bytes + (1 << 20));
}

TEST_CASE("allocator: trim gives cached blocks back") {
  { const Tensor x = Tensor::empty({12345}); }
  CHECK(host_allocator::stats().cached_bytes > 0);
  host_allocator::trim();
  CHECK(host_allocator::stats().cached_bytes == 0);
}

TEST_CASE("allocator: what the system gave is counted until it has it back") {
  host_allocator::trim();
  host_allocator::reset_peak();
  const size_t before = host_allocator::stats().system_bytes;
  { const Tensor x = Tensor::empty({1 << 20}, DType::U8); }
  CHECK(host_allocator::stats().system_bytes == before + (1 << 20));
  {
    const Tensor smaller = Tensor::empty({3 << 18}, DType::U8);  // in the same block
    CHECK(host_allocator::stats().system_bytes == before + (1 << 20));
  }
  host_allocator::trim();
  CHECK(host_allocator::stats().system_bytes == before);
  CHECK(host_allocator::stats().peak_system_bytes == before + (1 << 20));
}

TEST_CASE("allocator: tensors without memory are counted by rules of their own") {
  meta_memory().trim();
  meta_memory().reset_peak();
  const AllocatorStats before = meta_memory().stats(), host = host_allocator::stats();
  {
    const Tensor x = Tensor::zeros({1 << 30, 1 << 10}, DType::F32, Device::meta());
    CHECK(meta_memory().stats().live_bytes == before.live_bytes + (size_t{1} << 42));
    CHECK_THROWS_AS(x.ptr<float>(), DeviceError);
  }
  CHECK(meta_memory().stats().live_bytes == before.live_bytes);
  CHECK(meta_memory().stats().peak_live_bytes == before.live_bytes + (size_t{1} << 42));
  CHECK(host_allocator::stats().requests == host.requests);
}

TEST_CASE("allocator: blocks are aligned to cache lines, guarded or not") {
  for (const bool guarded : {false, true}) {
    const bool previous = host_allocator::set_guards(guarded);
    for (const int64_t n : {1, 3, 17, 1000, 5000}) {
      const Tensor x = Tensor::empty({n});
      CHECK(reinterpret_cast<uintptr_t>(x.raw()) % 64 == 0);
    }
    host_allocator::set_guards(previous);
  }
}

TEST_CASE("allocator: guards see a byte written beside a block, on either side") {
  for (const int64_t offset : {-1, -4096, 12, 13, 63, 64, 4096}) {
    CAPTURE(offset);
    const tests::GuardedMemory guards;
    {
      Tensor x = Tensor::zeros({3});
      // Through a pointer the compiler knows nothing about: the block has bytes on both sides.
      volatile auto* byte = reinterpret_cast<volatile unsigned char*>(x.raw_mut()) + offset;
      *byte = 0;
      CHECK(guards.violations() == 1);
    }
    CHECK(guards.violations() == 1);
  }
  const tests::GuardedMemory guards;
  {
    Tensor x = Tensor::zeros({3});
    x.mut<float>()[2] = 1;
  }
  CHECK(guards.violations() == 0);
}

TEST_CASE("allocator: a fresh guarded block reads as NaN") {
  const tests::GuardedMemory guards;
  const Tensor x = Tensor::empty({5}, DType::F64), y = Tensor::empty({5}, DType::F32);
  for (int i = 0; i < 5; ++i) {
    CHECK(std::isnan(x.ptr<double>()[i]));
    CHECK(std::isnan(y.ptr<float>()[i]));
  }
}

TEST_CASE("allocator: blocks may outlive the setting they were made under") {
  Tensor before = Tensor::zeros({100}), inside;
  {
    const tests::GuardedMemory guards;
    inside = Tensor::zeros({100});
    before = Tensor();
  }
  const uint64_t violations = host_allocator::guard_violations();
  inside = Tensor();
  CHECK(host_allocator::guard_violations() == violations);
}

TEST_SUITE_END();

}  // namespace lathe
