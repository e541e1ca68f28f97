// Pictures scaled and operated on as Pillow 9.4 does: the hashes are of its bytes for the same calls.

#include "data/photo_ops.h"

#include <functional>
#include <span>

#include <doctest/doctest.h>

#include "core/hash.h"
#include "data/resample.h"
#include "tests/support/pictures.h"

namespace lathe::tests {
namespace {

const Picture& photograph() {
  static const Picture picture = some_picture(23, 37, 3);
  return picture;
}

PixelRect rect(const Picture& picture) {
  return {picture.pixels.data(), picture.height, picture.width, picture.channels};
}

uint64_t hash(const std::vector<uint8_t>& pixels) {
  return hash_of(std::as_bytes(std::span(pixels)));
}

using Operation = std::function<void(const photo::Pixels&)>;

uint64_t after(const Operation& operation) {
  Picture picture = photograph();
  operation({picture.pixels.data(), picture.height, picture.width, picture.channels});
  return hash(picture.pixels);
}

uint64_t scaled(int64_t height, int64_t width, Interpolation interpolation) {
  std::vector<uint8_t> to(static_cast<size_t>(3 * height * width));
  resize(rect(photograph()), {.height = height, .width = width}, interpolation,
         {to.data(), height, width, 3});
  return hash(to);
}

constexpr Interpolation kLinear = Interpolation::Bilinear, kCubic = Interpolation::Bicubic;

}  // namespace

TEST_SUITE_BEGIN("data");

TEST_CASE("scaling has Pillow's bytes") {
  CHECK(scaled(10, 12, kLinear) == 0x2b89eec2339dc500);
  CHECK(scaled(10, 12, kCubic) == 0x03fa7b937855d855);
  CHECK(scaled(46, 50, kLinear) == 0xd3a0fd99d080ba20);
  CHECK(scaled(46, 50, kCubic) == 0x33cd95a21586d6b0);
  CHECK(scaled(23, 11, kCubic) == 0x3b6e9ee9a54da7be);
  CHECK(scaled(40, 37, kLinear) == 0x1dfde26416d0573e);
  CHECK(scaled(7, 90, kCubic) == 0xc33c34091bf82c87);
  CHECK(scaled(23, 37, kLinear) == hash(photograph().pixels));
  CHECK(scaled(23, 37, kCubic) == hash(photograph().pixels));
}

TEST_CASE("a window of a scaled picture is that part of it") {
  const auto part = [](const ScaledWindow& window, int64_t height, int64_t width) {
    std::vector<uint8_t> to(static_cast<size_t>(3 * height * width));
    resize(rect(photograph()), window, kCubic, {to.data(), height, width, 3});
    return to;
  };
  const std::vector<uint8_t> whole = part({.height = 30, .width = 20}, 30, 20);
  const std::vector<uint8_t> window = part({.height = 30, .width = 20, .top = 7, .left = 4}, 11, 9);
  for (int64_t y = 0; y < 11; ++y) {
    const auto row = whole.begin() + 3 * (20 * (7 + y) + 4);
    CHECK(std::equal(row, row + 27, window.begin() + 27 * y));
  }
}

TEST_CASE("evaluation's crop has the bytes of Pillow's resize and crop") {
  const auto cropped = [](const CentreCrop& crop) {
    std::vector<uint8_t> to(3 * 16 * 16);
    crop(rect(photograph()), {to.data(), 16, 16, 3});
    return hash(to);
  };
  CHECK(cropped({1, kLinear}) == 0x6e7b2dc9cf0120a0);
  CHECK(cropped({0.875, kLinear}) == 0x42c39a7ebeb76cce);
  CHECK(cropped({0.875, kCubic}) == 0xb8cbd740a5196763);
  std::vector<uint8_t> pixel(3 * 8 * 8);  // one row of pixels, and one pixel
  CentreCrop{0.9}({photograph().pixels.data(), 1, 37, 3}, {pixel.data(), 8, 8, 3});
  CentreCrop{0.9}({photograph().pixels.data(), 1, 1, 3}, {pixel.data(), 8, 8, 3});
  for (size_t i = 0; i < pixel.size(); ++i) CHECK(pixel[i] == photograph().pixels[i % 3]);
}

TEST_CASE("operations on values have Pillow's bytes") {
  CHECK(after(photo::autocontrast) == 0xcb6fe1a0664a2550);
  CHECK(after(photo::equalize) == 0xfbae9d00c731f728);
  CHECK(after(photo::invert) == 0xdb9efe6db91cc544);
  CHECK(after([](auto& p) { photo::posterize(p, 0); }) == 0xd66cdef03583baf2);
  CHECK(after([](auto& p) { photo::posterize(p, 4); }) == 0x5881e46295bdaa16);
  CHECK(after([](auto& p) { photo::posterize(p, 8); }) == hash(photograph().pixels));
  CHECK(after([](auto& p) { photo::solarize(p, 100); }) == 0x0ae0d0a292971b28);
  CHECK(after([](auto& p) { photo::solarize(p, 256); }) == hash(photograph().pixels));
  CHECK(after([](auto& p) { photo::solarize_add(p, 77); }) == 0xd34512594bd425fe);
  CHECK(after([](auto& p) { photo::saturate(p, 0.1); }) == 0x1d28fb8339b6c0c4);
  CHECK(after([](auto& p) { photo::saturate(p, 1.9); }) == 0xfc1edab6675b2ef4);
  CHECK(after([](auto& p) { photo::contrast(p, 0.5); }) == 0x9ac0438680092b3b);
  CHECK(after([](auto& p) { photo::contrast(p, 1.3); }) == 0x494c73f034e2e726);
  CHECK(after([](auto& p) { photo::brighten(p, 0.5); }) == 0x75e1f4e618b7b4bf);
  CHECK(after([](auto& p) { photo::brighten(p, 1.9); }) == 0x6503afba65943253);
  CHECK(after([](auto& p) { photo::sharpen(p, 0.1); }) == 0x767a61d48170363f);
  CHECK(after([](auto& p) { photo::sharpen(p, 1.9); }) == 0x45b71fad3e05524c);
  for (const auto& enhance : {&photo::saturate, &photo::contrast, &photo::brighten, &photo::sharpen})
    CHECK(after([&](auto& p) { enhance(p, 1); }) == hash(photograph().pixels));
}

TEST_CASE("moved pictures have Pillow's bytes") {
  const photo::Fill fill{124, 116, 104};
  const auto moved = [&](const photo::Affine& affine, Interpolation interpolation) {
    return after([&](auto& p) { photo::transform(p, affine, interpolation, fill); });
  };
  CHECK(moved(photo::rotation(-17.3, 23, 37), kLinear) == 0x8daad74c548931dc);
  CHECK(moved(photo::rotation(-17.3, 23, 37), kCubic) == 0xd9656480db89d12d);
  CHECK(moved({.b = 0.21}, kLinear) == 0xd668199c4a8a177f);
  CHECK(moved({.b = 0.21}, kCubic) == 0x2702533e37182865);
  CHECK(moved({.d = -0.27}, kLinear) == 0x4db9bbaf41ee18f3);
  CHECK(moved({.c = -0.31 * 37}, kCubic) == 0x6e17c900ba9265bd);
  CHECK(moved({.f = 0.4 * 23}, kLinear) == 0xde916f1448de30fa);
  CHECK(moved({.c = 100}, kCubic) == after([&](auto& p) {
          for (int64_t i = 0; i < p.height * p.row(); ++i) p.data[i] = fill[static_cast<size_t>(i % 3)];
        }));
}

TEST_SUITE_END();

}  // namespace lathe::tests
