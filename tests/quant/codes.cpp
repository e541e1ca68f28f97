#include "quant/codes.h"

#include <cmath>

#include <doctest/doctest.h>

#include "core/error.h"
#include "quant/order.h"
#include "tests/quant/packed_files.h"
#include "tests/support/kernels.h"

namespace lathe::tests {
namespace {

constexpr Decoder kDecoders[] = {Decoder::Affine, Decoder::Range, Decoder::DeadZone, Decoder::ZeroPoint,
                                 Decoder::Half};

Tensor floats(const std::vector<float>& values) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())});
}
Tensor bytes(const std::vector<uint8_t>& values) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())});
}

Codes two_groups(Decoder decoder, const std::vector<int32_t>& q) {
  Codes codes;
  codes.decoder = decoder;
  codes.integers = Tensor::from(q, {static_cast<int64_t>(q.size())});
  codes.group = 2;
  codes.bits = bytes({3, 2});
  codes.scale = floats({0.5f, 2.0f});
  if (has_offset(decoder)) codes.offset = floats({1.0f, 3.0f});
  return codes;
}

void check_values(const Codes& codes, const std::vector<float>& expected) {
  check_codes(codes, "codes");
  CHECK(same_bits(decode(codes), Tensor::from(expected, codes.shape())));
}

std::string message_of(const Codes& codes) {
  try {
    check_codes(codes, "here");
  } catch (const FormatError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_SUITE_BEGIN("pack");

TEST_CASE("codes: what each decoder makes of them") {
  check_values(two_groups(Decoder::Affine, {-4, 3, -2}), {-2.0f, 1.5f, -4.0f});
  check_values(two_groups(Decoder::Range, {0, 7, 1}), {1.0f, 1.5f, 1.0f / 3.0f * 2.0f + 3.0f});
  check_values(two_groups(Decoder::DeadZone, {-4, 0, 1}), {-3.0f, 0.0f, 5.0f});
  check_values(two_groups(Decoder::ZeroPoint, {0, 7, 3}), {-0.5f, 3.0f, 0.0f});
  Codes half;
  half.decoder = Decoder::Half;
  half.integers = Tensor::from(std::vector<int32_t>{0x3C00, 0xC000, 0x0001, 0xFC00}, {2, 2});
  half.bits = bytes({16});
  check_values(half, {1.0f, -2.0f, 0x1p-24f, -INFINITY});
}

TEST_CASE("codes: groups in the order of PyTorch") {
  Codes codes;  // (out 1, taps 2, in 3): positions are in 0: taps 0 1, in 1: ...
  codes.integers = Tensor::from(std::vector<int32_t>{1, 1, 1, 1, 1, 1}, {1, 2, 3});
  codes.group = 4;
  codes.bits = bytes({2});
  codes.scale = floats({1.0f, 10.0f});
  check_values(codes, {1, 1, 1, 1, 10, 10});
  codes.pytorch_order = true;
  check_values(codes, {1, 1, 10, 1, 1, 10});
  for (const Shape& shape : {Shape{4, 3, 3, 5}, Shape{2, 7}, Shape{6}, Shape{3, 1, 1, 4}, Shape{2, 5, 1}}) {
    const GroupOrder order(shape, true);
    std::vector<int> seen(static_cast<size_t>(shape.numel()));
    int64_t position = 0;
    order.for_each(0, shape.numel(), [&](int64_t i) {
      CHECK(i == order.index(position++));
      ++seen[static_cast<size_t>(i)];
    });
    CHECK(std::count(seen.begin(), seen.end(), 1) == shape.numel());
    position = 5;
    order.for_each(5, shape.numel(), [&](int64_t i) { CHECK(i == order.index(position++)); });
  }
}

TEST_CASE("codes: decoding gives the same bits on any number of threads") {
  for (const Decoder decoder : kDecoders) {
    const Codes codes = make_codes({.decoder = decoder,
                                    .shape = {64, 3, 3, 301},
                                    .bits = decoder == Decoder::Half ? 16 : 5,
                                    .group = 37,
                                    .pytorch_order = true});
    CHECK(thread_invariant([&] { return decode(codes); }));
  }
}

TEST_CASE("codes: what check_codes refuses") {
  const Codes fine = two_groups(Decoder::DeadZone, {-4, 3, 1});
  CHECK(message_of(fine) == "no error");
  const auto damaged = [&](const std::function<void(Codes&)>& damage) {
    Codes codes = fine;
    damage(codes);
    return message_of(codes);
  };
  CHECK(damaged([](Codes& c) { c.decoder = static_cast<Decoder>(9); }) == "here: decoder 9 is not known");
  CHECK(damaged([](Codes& c) { c.integers = Tensor(); }) == "here: the codes are missing");
  CHECK(damaged([](Codes& c) { c.integers = Tensor::zeros({3}); }) ==
        "here: codes: expected i32 on the host, found f32 on cpu");
  CHECK(damaged([](Codes& c) { c.group = -1; }) == "here: group: expected 0 or more, found -1");
  CHECK(damaged([](Codes& c) { c.group = 1; }) == "here: bits: expected shape (1) or (3), found (2)");
  CHECK(damaged([](Codes& c) { c.bits = bytes({0}); }) == "here: bits: expected 1 to 16, found 0");
  CHECK(damaged([](Codes& c) { c.bits = bytes({17}); }) == "here: bits: expected 1 to 16, found 17");
  CHECK(damaged([](Codes& c) { c.scale = Tensor(); }) ==
        "here: scale is missing, decoder dead_zone needs it");
  CHECK(damaged([](Codes& c) { c.decoder = Decoder::Affine; }) == "here: decoder affine has no offset");
  CHECK(damaged([](Codes& c) {
          c.bits = bytes({2, 2});
        }) == "here: code 0 of group 0: expected -2 to 1, found -4");
  CHECK(damaged([](Codes& c) {
          c.bits = bytes({3, 1});
        }) == "here: code 2 of group 1: expected -1 to 0, found 1");
  Codes zero = two_groups(Decoder::ZeroPoint, {0, 7, 3});
  zero.offset = floats({0.5f});
  CHECK(message_of(zero) == "here: offset: expected an integer, found 0.5");
  zero.offset = floats({INFINITY});
  CHECK(message_of(zero).starts_with("here: offset: expected an integer"));
}

TEST_SUITE_END();

}  // namespace lathe::tests
