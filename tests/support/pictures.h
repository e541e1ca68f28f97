#pragma once
// Picture files for tests.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/files.h"
#include "data/picture.h"

namespace lathe::tests {

/// A JPEG of 4 x 4 pixels, all of them (200, 100, 50) but for what compression loses.
inline constexpr std::string_view kJpeg =
    "ffd8ffe000104a46494600010100000100010000ffdb008400100b0c0e0c0a100e0d0e1211101318281a181616183123"
    "251d283a333d3c3933383740485c4e404457453738506d51575f626768673e4d71797064785c65676301111212181518"
    "2f1a1a2f6342384263636363636363636363636363636363636363636363636363636363636363636363636363636363"
    "63636363636363636363ffc00011080004000403012200021101031101ffc401a2000001050101010101010000000000"
    "0000000102030405060708090a0b100002010303020403050504040000017d0102030004110512213141061351610722"
    "7114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a434445464748494a"
    "535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8"
    "a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9"
    "fa0100030101010101010101010000000000000102030405060708090a0b110002010204040304070504040001027700"
    "0102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a2627"
    "28292a35363738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788"
    "898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2"
    "e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9faffda000c03010002110311003f006d14515e59ec9fffd9";

inline std::vector<std::byte> from_hex(std::string_view text) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  return bytes;
}

inline std::vector<std::byte> small_jpeg() {
  return from_hex(kJpeg);
}

/// Smooth gradients under noise, another for each seed: what a photograph is to a filter.
inline Picture some_picture(int64_t height, int64_t width, int64_t channels, uint32_t seed = 3) {
  Picture picture{.height = height, .width = width, .channels = channels, .pixels = {}};
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t c = 0; c < channels; ++c) {
        seed = seed * 1664525u + 1013904223u;
        const auto base = static_cast<uint32_t>((5 * x + 3 * y + 40 * c) & 255);
        picture.pixels.push_back(static_cast<uint8_t>((3 * base + (seed >> 24)) / 4));
      }
    }
  }
  return picture;
}

/// root/{train,SPLIT}/{ant,bee}/: so many pictures of 12 x 10 pixels in each class, "0.png", "1.png", ...
inline void lay_out_pictures(const std::filesystem::path& root, int64_t train, int64_t test,
                             const std::string& test_split = "test") {
  uint32_t seed = 0;
  for (const auto& [split, count] : {std::pair(std::string("train"), train), std::pair(test_split, test)}) {
    for (const char* name : {"ant", "bee"}) {
      const std::filesystem::path folder = root / split / name;
      std::filesystem::create_directories(folder);
      for (int64_t i = 0; i < count; ++i)
        write_png(folder / (std::to_string(i) + ".png"), some_picture(12, 10, 3, ++seed));
    }
  }
}

}  // namespace lathe::tests
