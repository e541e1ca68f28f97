// Loops over chunks on several threads.

#include "core/parallel.h"

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "core/error.h"
#include "tests/support/kernels.h"

namespace lathe::tests {
namespace {

void check_all_once(int64_t n, int64_t grain) {
  std::vector<std::atomic<int>> calls(static_cast<size_t>(n));
  parallel_for(n, grain, [&](int64_t lo, int64_t hi) {
    CHECK_MESSAGE(hi - lo <= grain, "a chunk is too long");
    for (int64_t i = lo; i < hi; ++i) ++calls[static_cast<size_t>(i)];
  });
  int64_t once = 0;
  for (const auto& call : calls) once += call == 1 ? 1 : 0;
  CHECK(once == n);
}

}  // namespace

TEST_SUITE_BEGIN("core");

TEST_CASE("parallel_for visits every chunk once, for any number of threads") {
  for (const int threads : {1, 2, 3, 7}) {
    const Threads set(threads);
    for (const int64_t n : {0, 1, 5, 1000}) check_all_once(n, 1);
    check_all_once(1001, 64);
  }
}

TEST_CASE("many short loops in a row") {
  const Threads set(3);
  std::atomic<int64_t> sum{0};
  for (int64_t loop = 0; loop < 20000; ++loop) parallel_for(4, 1, [&](int64_t lo, int64_t) { sum += lo; });
  CHECK(sum == 20000 * 6);
}

TEST_CASE("the lowest failing chunk's exception is rethrown, and the next loop works") {
  const Threads set(3);
  for (int i = 0; i < 50; ++i) {
    CHECK_THROWS_WITH_AS(parallel_for(100, 1,
                                      [](int64_t lo, int64_t) {
                                        if (lo >= 17) throw std::runtime_error(std::to_string(lo));
                                      }),
                         "17", std::runtime_error);
    check_all_once(10, 1);
  }
}

TEST_CASE("a loop inside a loop, and loops of two threads at once") {
  const Threads set(3);
  std::atomic<int64_t> inner{0};
  parallel_for(8, 1, [&](int64_t, int64_t) { parallel_for(8, 1, [&](int64_t, int64_t) { ++inner; }); });
  CHECK(inner == 64);
  std::atomic<int64_t> sum{0};
  const auto work = [&] {
    for (int i = 0; i < 2000; ++i) parallel_for(5, 1, [&](int64_t lo, int64_t) { sum += lo; });
  };
  std::thread other(work);
  work();
  other.join();
  CHECK(sum == 2 * 2000 * 10);
}

TEST_SUITE_END();

}  // namespace lathe::tests
