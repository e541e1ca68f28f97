#pragma once
// A fuzz target: libFuzzer's entry point, and files to start from for compilers without libFuzzer.

#include <cstddef>
#include <cstdint>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace lathe::fuzz {

std::vector<std::vector<std::byte>> seeds();

}  // namespace lathe::fuzz
