#include "core/philox.h"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("core");

// Random123's known-answer vectors (kat_vectors, philox4x32-10).
TEST_CASE("philox: Random123 vectors") {
  const lathe::Philox zero{0, 0, 0};
  const auto block = zero.block(0);
  CHECK(block.word[0] == 0x6627e8d5u);
  CHECK(block.word[1] == 0xe169c58du);
  CHECK(block.word[2] == 0xbc57ac4cu);
  CHECK(block.word[3] == 0x9b00dbd8u);
  const lathe::Philox ones{~uint64_t{0}, ~uint32_t{0}, ~uint32_t{0}};
  const auto last = ones.block(~uint64_t{0});
  CHECK(last.word[0] == 0x408f276du);
  CHECK(last.word[1] == 0x41c83b0eu);
  CHECK(last.word[2] == 0xa20bc7c6u);
  CHECK(last.word[3] == 0x6d5451fdu);
}

TEST_SUITE_END();
