#define DOCTEST_CONFIG_IMPLEMENT
#include <iostream>
#include <string_view>

#include <doctest/doctest.h>

#include "tests/golden/runner.h"

// `lathe_tests --golden DIR` runs golden files; anything else is doctest's.
int main(int argc, char** argv) {
  if (argc >= 2 && std::string_view(argv[1]) == "--golden") {
    if (argc != 3) {
      std::cerr << "usage: lathe_tests --golden DIR\n";
      return 2;
    }
    return lathe::golden::run_goldens(argv[2], std::cout);
  }
  doctest::Context context(argc, argv);
  return context.run();
}
