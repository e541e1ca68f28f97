// Pictures in and out of files.

#include "data/picture.h"

#include <cstdlib>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "tests/support/pictures.h"
#include "tests/support/scratch.h"

namespace lathe::tests {
namespace {

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
  const std::vector<std::byte> jpeg = small_jpeg();
  const Picture picture = decode_picture(jpeg, "x.jpg", 3);
  REQUIRE(picture.pixels.size() == 48);
  for (size_t i = 0; i < 48; ++i) {
    const int expected = i % 3 == 0 ? 200 : i % 3 == 1 ? 100 : 50;
    CHECK(std::abs(picture.pixels[i] - expected) <= 4);
  }
  CHECK_THROWS_AS(decode_picture(std::span(jpeg).first(100), "x.jpg", 3), DataError);
  CHECK_THROWS_AS(decode_picture({}, "x.jpg", 3), DataError);
}

// Under sanitizers this is what the decoder does with bytes that no check looks at.
TEST_CASE("a damaged JPEG is a picture or a DataError, whichever bytes are wrong") {
  const std::vector<std::byte> whole = small_jpeg();
  uint32_t draw = 1;
  const auto below = [&](size_t n) {
    draw = draw * 1664525u + 1013904223u;
    return static_cast<size_t>(draw >> 8) % n;
  };
  int pictures = 0, errors = 0;
  for (int i = 0; i < 4000; ++i) {
    std::vector<std::byte> damaged = whole;
    for (size_t wrong = 1 + below(3); wrong > 0; --wrong)
      damaged[2 + below(whole.size() - 2)] = static_cast<std::byte>(below(256));
    try {
      const Picture picture = decode_picture(damaged, "x.jpg", 3);
      pictures += std::ssize(picture.pixels) == picture.height * picture.width * 3 ? 1 : 0;
    } catch (const DataError&) {
      ++errors;
    }
  }
  CHECK(pictures + errors == 4000);
  CHECK(pictures > 500);
  CHECK(errors > 500);
}

TEST_CASE("CMYK becomes RGB, and of 16 bits the upper 8 are read") {
  const Picture cmyk = decode_picture(
      from_hex(
          "ffd8ffee000e41646f626500640000000000ffdb004300020101010101020101010202020202040302020202050404"
          "0304060506060605060606070908060709070606080b08090a0a0a0a0a06080b0c0b0a0c090a0a0affc00014080002"
          "0002044311004d11005911004b1100ffc40014000100000000000000000000000000000009ffc400141001000000000"
          "00000000000000000000000ffda000e0443004d0059004b00003f0036cc210c3a8fffd9"),
      "x.jpg", 3);
  REQUIRE(cmyk.pixels.size() == 12);
  for (size_t i = 0; i < 12; ++i) {
    const int expected = i % 3 == 0 ? 53 : i % 3 == 1 ? 216 : 187;
    CHECK(std::abs(cmyk.pixels[i] - expected) <= 4);
  }
  const Picture deep = decode_picture(
      from_hex(
          "89504e470d0a1a0a0000000d4948445200000002000000021002000000ad444630000000184944415478da6310326960f8"
          "cfc8ff7ff55986ff0cc81c007bdd0a97fdf6b2180000000049454e44ae426082"),
      "x.png", 3);
  CHECK(deep.pixels ==
        std::vector<uint8_t>{0x12, 0x80, 0xff, 0x0f, 0xab, 0, 0x12, 0x80, 0xff, 0x0f, 0xab, 0});
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
