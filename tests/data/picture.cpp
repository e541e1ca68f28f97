// Pictures in and out of files.

#include "data/picture.h"

#include <cstdlib>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "tests/support/scratch.h"

namespace lathe::tests {
namespace {

// A JPEG of 4 x 4 pixels, all of them (200, 100, 50) but for what compression loses.
constexpr std::string_view kJpeg =
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

std::vector<std::byte> from_hex(std::string_view text) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  return bytes;
}

Picture gradient(int64_t height, int64_t width, int64_t channels) {
  Picture picture{.height = height, .width = width, .channels = channels, .pixels = {}};
  for (int64_t i = 0; i < height * width * channels; ++i)
    picture.pixels.push_back(static_cast<uint8_t>(i * 7 % 256));
  return picture;
}

}  // namespace

TEST_SUITE_BEGIN("data");

TEST_CASE("a PNG holds the bytes that were written") {
  const ScratchFolder scratch;
  for (const int64_t channels : {1, 3}) {
    const Picture picture = gradient(5, 9, channels);
    write_png(scratch / "x.png", picture);
    const Picture read = read_picture(scratch / "x.png", channels);
    CHECK(read.height == 5);
    CHECK(read.width == 9);
    CHECK(read.pixels == picture.pixels);
  }
  CHECK(read_picture(scratch / "x.png", 1).pixels.size() == 45);  // colours become grey
}

TEST_CASE("a JPEG is read; cut short or followed by nothing of the kind it is not") {
  const std::vector<std::byte> jpeg = from_hex(kJpeg);
  const Picture picture = decode_picture(jpeg, "x.jpg", 3);
  REQUIRE(picture.pixels.size() == 48);
  for (size_t i = 0; i < 48; ++i) {
    const int expected = i % 3 == 0 ? 200 : i % 3 == 1 ? 100 : 50;
    CHECK(std::abs(picture.pixels[i] - expected) <= 4);
  }
  CHECK_THROWS_AS(decode_picture(std::span(jpeg).first(100), "x.jpg", 3), DataError);
  CHECK_THROWS_AS(decode_picture({}, "x.jpg", 3), DataError);
}

TEST_CASE("a picture is scaled to cover and cut to the centre") {
  const Picture same = gradient(8, 8, 3);
  CHECK(fit_picture(same, 8, 8).pixels == same.pixels);
  Picture wide{.height = 4, .width = 12, .channels = 1, .pixels = std::vector<uint8_t>(48, 10)};
  for (int64_t y = 0; y < 4; ++y) {
    for (int64_t x = 4; x < 8; ++x) wide.pixels[static_cast<size_t>(y * 12 + x)] = 200;
  }
  CHECK(fit_picture(wide, 4, 4).pixels == std::vector<uint8_t>(16, 200));
  const Picture larger = fit_picture(wide, 8, 16);
  CHECK(larger.pixels.size() == 128);
  const Picture flat{.height = 50, .width = 30, .channels = 3, .pixels = std::vector<uint8_t>(4500, 77)};
  CHECK(fit_picture(flat, 32, 32).pixels == std::vector<uint8_t>(3072, 77));
}

TEST_SUITE_END();

}  // namespace lathe::tests
