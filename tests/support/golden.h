#pragma once
// Where the golden vectors are, for tests that need them.

#include <cstdlib>
#include <filesystem>
#include <optional>

#include <doctest/doctest.h>

namespace lathe::tests {

/// $LATHE_GOLDEN/`part`, or nothing and a loud message when the variable is not set.
inline std::optional<std::filesystem::path> golden_folder(const char* part) {
  const char* root = std::getenv("LATHE_GOLDEN");
  if (root == nullptr || *root == '\0') {
    MESSAGE("SKIPPED: LATHE_GOLDEN is not set");
    return std::nullopt;
  }
  return std::filesystem::path(root) / part;
}

}  // namespace lathe::tests
