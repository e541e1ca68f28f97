// libFuzzer's stand-in: mutates the target's seeds for some seconds, always in the same order, or runs the
// files it is given. No coverage guides it; sanitizers say what is wrong.
//   lathe_fuzz_packed [SECONDS | FILE... | --seeds DIR]
// The last one writes the seeds, for libFuzzer to start from.

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>

#include "core/files.h"
#include "core/hash.h"
#include "core/philox.h"
#include "tests/fuzz/target.h"

namespace lathe::fuzz {
namespace {

using Bytes = std::vector<std::byte>;

/// One to four changes: a bit, a byte, an extreme number, a copied, removed or doubled part.
Bytes mutate(Bytes file, uint64_t round) {
  const Philox philox{.seed = 1, .stream = stream_id("fuzz")};
  uint64_t word = round * 64;
  const auto below = [&](size_t n) { return size_t{philox.below(word++, static_cast<uint32_t>(n))}; };
  for (size_t changes = 1 + below(4); changes > 0; --changes) {
    if (file.empty()) return file;
    const size_t at = below(file.size()), length = std::min(1 + below(16), file.size() - at);
    const auto begin = file.begin() + static_cast<int64_t>(at), end = begin + static_cast<int64_t>(length);
    constexpr int kExtremes[] = {0, 1, 127, 128, 255};
    switch (below(6)) {
      case 0:
        *begin ^= static_cast<std::byte>(1 << below(8));
        break;
      case 1:
        *begin = static_cast<std::byte>(below(256));
        break;
      case 2:
        std::fill(begin, end, static_cast<std::byte>(kExtremes[below(5)]));
        break;
      case 3:
        std::copy_n(file.begin() + static_cast<int64_t>(below(file.size() - length + 1)), length, begin);
        break;
      case 4:
        file.erase(begin, end);
        break;
      default: {
        const Bytes part(begin, end);
        file.insert(begin, part.begin(), part.end());
      }
    }
  }
  return file;
}

std::string_view as_text(const Bytes& file) {
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

void run_one(const Bytes& file) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(file.data()), file.size());
}

int run(const std::vector<std::string>& arguments) {
  const std::string first = arguments.empty() ? "60" : arguments[0];
  if (first == "--seeds" && arguments.size() == 2) {
    for (const Bytes& file : seeds()) {
      write_atomic(std::filesystem::path(arguments[1]) / hash_hex(as_text(file)), as_text(file));
    }
    return 0;
  }
  if (first.find_first_not_of("0123456789") != std::string::npos) {
    for (const std::string& path : arguments) run_one(read_bytes(path));
    return 0;
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(std::stoi(first));
  const std::vector<Bytes> starts = seeds();
  for (const Bytes& file : starts) run_one(file);
  uint64_t round = 0;
  for (; std::chrono::steady_clock::now() < end; ++round)
    run_one(mutate(starts[round % starts.size()], round));
  std::cout << round << " inputs\n";
  return 0;
}

}  // namespace
}  // namespace lathe::fuzz

int main(int argc, char** argv) {
  return lathe::fuzz::run({argv + 1, argv + argc});
}
