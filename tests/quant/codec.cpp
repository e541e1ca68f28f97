// The bound of the product: payload <= entropy + 1 % + 64 bytes, and a table of 2 bytes per used symbol.

#include "quant/pack/codec.h"

#include <cmath>
#include <functional>
#include <set>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/philox.h"

namespace lathe::quant {
namespace {

using Symbols = std::vector<uint16_t>;
using Classes = std::vector<WidthClass>;

/// `count` symbols of `width` bits, each a function of a uniform number and its index.
Symbols make(int64_t count, int width, const std::function<double(double, int64_t)>& of, uint64_t seed = 1) {
  const Philox philox{.seed = seed, .stream = stream_id("symbols")};
  Symbols symbols;
  const double most = (1 << width) - 1;
  for (int64_t i = 0; i < count; ++i) {
    const double u = philox.uniform(2 * static_cast<uint64_t>(i)) +
                     0x1p-24 * philox.uniform(2 * static_cast<uint64_t>(i) + 1);
    symbols.push_back(static_cast<uint16_t>(std::clamp(std::floor(of(u, i)), 0.0, most)));
  }
  return symbols;
}

/// Laplace around the middle, as weights are.
std::function<double(double, int64_t)> laplace(int width, double spread) {
  const double middle = 1 << (width - 1);
  return [=](double u, int64_t) {
    const double sign = u < 0.5 ? -1 : 1, tail = 1 - std::fabs(2 * u - 1);
    return middle - sign * spread * std::log(std::max(tail, 1e-12)) + 0.5;
  };
}

std::function<double(double, int64_t)> sparse(double zeros, int width) {
  return
      [=](double u, int64_t) { return u < zeros ? 0 : 1 + (u - zeros) / (1 - zeros) * ((1 << width) - 1); };
}

size_t used_symbols(const Symbols& symbols, const Classes& classes) {
  size_t used = 0, at = 0;
  for (const WidthClass& one : classes) {
    const auto begin = symbols.begin() + static_cast<int64_t>(at);
    used += std::set<uint16_t>(begin, begin + one.count).size();
    at += static_cast<size_t>(one.count);
  }
  return used;
}

/// Round trip and bound; returns the codec.
Codec check(const std::string& name, const Symbols& symbols, const Classes& classes) {
  CAPTURE(name);
  const SymbolStream stream = encode_symbols(symbols, classes);
  Symbols back(symbols.size());
  decode_symbols(back, classes, stream.codec, stream.table, stream.payload, "test");
  CHECK(back == symbols);
  const double bytes = static_cast<double>(stream.table.size() + stream.payload.size());
  const double entropy = entropy_bits(symbols, classes) / 8;
  const double bound = 1.01 * entropy + 64 + 2 * static_cast<double>(used_symbols(symbols, classes));
  INFO("codec ", to_string(stream.codec), ", table ", stream.table.size(), ", payload ",
       stream.payload.size(), ", entropy ", entropy, ", bound ", bound);
  CHECK(bytes <= bound);
  CHECK(stream.table.size() <= 2 * used_symbols(symbols, classes) + 16);
  return stream.codec;
}

Codec check(const std::string& name, const Symbols& symbols, int width) {
  return check(name, symbols, Classes{{width, static_cast<int64_t>(symbols.size())}});
}

std::string error_of(const Classes& classes, Codec codec, const std::vector<std::byte>& table,
                     const std::vector<std::byte>& payload) {
  size_t count = 0;
  for (const WidthClass& one : classes) count += static_cast<size_t>(one.count);
  Symbols symbols(count);
  try {
    decode_symbols(symbols, classes, codec, table, payload, "f");
  } catch (const FormatError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_SUITE_BEGIN("pack");

TEST_CASE("codecs: bound and round trip over many distributions") {
  for (const int64_t count : {1, 2, 3, 4, 5, 7, 33, 64, 100, 257, 655, 1000, 4001, 30000}) {
    for (int width = 1; width <= 16; ++width) {
      const std::string size = std::to_string(count) + " x " + std::to_string(width) + " bits, ";
      const double all = 1 << width;
      check(size + "uniform", make(count, width, [=](double u, int64_t) { return u * all; }), width);
      check(size + "one symbol", make(count, width, [=](double, int64_t) { return all - 1; }), width);
      check(size + "two", make(count, width, [=](double u, int64_t) { return u < 0.3 ? 0 : all - 1; }),
            width);
      check(size + "narrow", make(count, width, laplace(width, 0.7)), width);
      check(size + "wide", make(count, width, laplace(width, all / 12)), width);
      check(size + "90 % zeros", make(count, width, sparse(0.9, width)), width);
      check(size + "99.9 % zeros", make(count, width, sparse(0.999, width)), width);
      check(size + "few symbols far apart",
            make(count, width, [=](double u, int64_t) { return std::floor(u * 300) * 211; }), width);
      check(size + "counting", make(count, width, [=](double, int64_t i) { return std::fmod(i, all); }),
            width);
    }
  }
}

TEST_CASE("codecs: bound and round trip of large tensors") {
  constexpr int64_t kCount = 1'000'000;
  CHECK(check("99.9 %", make(kCount, 4, sparse(0.999, 4)), 4) == Codec::Ans);
  CHECK(check("99.999 %", make(kCount, 8, sparse(0.99999, 8)), 8) == Codec::Ans);
  CHECK(check("all but one zero", make(kCount, 2, [](double, int64_t i) { return i == 77; }), 2) ==
        Codec::Ans);
  CHECK(check("one symbol", Symbols(kCount, 3), 2) == Codec::Ans);
  CHECK(check("no bits at all", Symbols(kCount, 0), 0) == Codec::Bitpack);
  CHECK(check("15 bits", make(kCount, 15, laplace(15, 1500)), 15) == Codec::Ans);
  CHECK(check("15 bits, long tails", make(kCount, 15, laplace(15, 300)), 15) == Codec::Ans);
  CHECK(check("16 bits", make(kCount, 16, laplace(16, 5000)), 16) == Codec::Ans);
  CHECK(check("uniform 4", make(kCount, 4, [](double u, int64_t) { return u * 16; }), 4) == Codec::Bitpack);
  CHECK(check("uniform 8", make(kCount, 8, [](double u, int64_t) { return u * 256; }), 8) == Codec::Raw);
  CHECK(check("2 bits a weight", make(kCount, 4, laplace(4, 0.8)), 4) == Codec::Ans);
}

TEST_CASE("codecs: classes of several widths share a stream") {
  for (const int64_t count : {1, 5, 50, 999, 20000}) {
    Symbols all, one_each;
    Classes classes;
    for (int width = 1; width <= 15; ++width) {
      const Symbols part = make(count + width, width, laplace(width, 1.5), static_cast<uint64_t>(width));
      all.insert(all.end(), part.begin(), part.end());
      one_each.insert(one_each.end(), part.size(), static_cast<uint16_t>((1 << width) - 1));
      classes.push_back({width, count + width});
    }
    check("laplace", all, classes);
    check("one symbol each", one_each, classes);
  }
}

TEST_CASE("codecs: zeros cost less than 0.05 bits each") {
  for (const double zeros : {0.999, 0.9999, 0.999999}) {
    const Symbols symbols = make(2'000'000, 4, sparse(zeros, 4));
    const Classes classes{{4, 2'000'000}};
    const SymbolStream stream = encode_symbols(symbols, classes);
    CHECK(static_cast<double>(8 * stream.payload.size()) < 0.05 * 2'000'000);
  }
}

TEST_CASE("codecs: nothing, and a tie goes to the simpler") {
  CHECK(encode_symbols({}, {}).codec == Codec::Raw);
  CHECK(encode_symbols({}, {}).payload.empty());
  const Symbols one{1};
  CHECK(encode_symbols(one, Classes{{2, 1}}).codec == Codec::Raw);
  CHECK(encode_symbols(Symbols(2, 1), Classes{{2, 2}}).codec == Codec::Bitpack);
}

TEST_CASE("codecs: malformed streams") {
  const Symbols symbols = make(2000, 4, laplace(4, 0.8));
  const Classes classes{{4, 2000}};
  const SymbolStream ans = encode_symbols(symbols, classes);
  REQUIRE(ans.codec == Codec::Ans);
  const auto bytes = [](const std::vector<int>& values) {
    std::vector<std::byte> list;
    for (const int value : values) list.push_back(static_cast<std::byte>(value));
    return list;
  };
  std::vector<std::byte> longer = ans.payload, shorter = ans.payload, state = ans.payload;
  longer.resize(longer.size() + 4);
  shorter.resize(shorter.size() - 4);
  state[7] = std::byte{0x80};
  CHECK(error_of(classes, Codec::Ans, ans.table, ans.payload) == "no error");
  CHECK(error_of(classes, Codec::Ans, ans.table, longer) == "f: 4 bytes are left after the last code");
  CHECK(error_of(classes, Codec::Ans, ans.table, shorter) == "f ends before the last code");
  CHECK(error_of(classes, Codec::Ans, ans.table, state).find("is out of range") != std::string::npos);
  CHECK(error_of(classes, Codec::Ans, {}, ans.payload) == "f: the frequency table ends too early");
  CHECK(error_of(Classes{{4, 2001}}, Codec::Ans, ans.table, ans.payload) != "no error");
  CHECK(error_of(Classes{{4, 1999}}, Codec::Ans, ans.table, ans.payload) != "no error");
  CHECK(error_of(Classes{{1, 2000}}, Codec::Ans, bytes({0xC}), ans.payload).find("used symbols") !=
        std::string::npos);
  std::vector<std::byte> tail = ans.table;
  tail.push_back(std::byte{0});
  CHECK(error_of(classes, Codec::Ans, tail, ans.payload) ==
        "f: the frequency table: 1 bytes at the end belong to nothing");
  CHECK(error_of(classes, Codec::Raw, {}, bytes({1})) == "f: codec raw takes 2000 bytes, found 1");
  CHECK(error_of(classes, Codec::Bitpack, {}, bytes({1})) == "f: codec bitpack takes 1000 bytes, found 1");
  CHECK(error_of(Classes{{4, 1}}, Codec::Raw, bytes({1}), bytes({1})) ==
        "f: codec raw has no table, found one of 1 bytes");
  CHECK(error_of(Classes{{4, 1}}, Codec::Raw, {}, bytes({16})) == "f: symbol 16 does not fit in 4 bits");
  CHECK(error_of(Classes{{4, 1}}, Codec::Bitpack, {}, bytes({0x21})) ==
        "f: the bits after the last code are not zero");
  CHECK(error_of(Classes{{4, 1}}, static_cast<Codec>(7), {}, bytes({1})) == "f: codec 7 is not known");
}

TEST_SUITE_END();

}  // namespace lathe::quant
