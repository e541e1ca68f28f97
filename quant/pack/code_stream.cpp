#include "quant/pack/code_stream.h"

#include <algorithm>
#include <array>
#include <bit>

#include "quant/order.h"

namespace lathe::quant {
namespace {

using PerWidth = std::array<int64_t, kMostBits + 1>;

/// Calls visit(width, lo, hi) for the positions of every group.
template <class Visit>
void for_each_width(std::span<const uint8_t> bits, int64_t numel, int64_t group, Visit&& visit) {
  if (bits.size() == 1) return visit(bits[0], int64_t{0}, numel);
  int64_t lo = 0;
  for (const uint8_t width : bits) {
    const int64_t hi = group < numel - lo ? lo + group : numel;
    visit(width, lo, hi);
    lo = hi;
  }
}

/// Calls visit(lowest code, symbol's index, code's index) for every code.
template <class Visit>
void for_each_code(const Codes& codes, std::span<const WidthClass> classes, Visit&& visit) {
  PerWidth next{};
  int64_t first = 0;
  for (const WidthClass& one : classes) {
    next[static_cast<size_t>(one.width)] = first;
    first += one.count;
  }
  const GroupOrder order(codes.shape(), codes.pytorch_order);
  for_each_width(codes.bits.span<uint8_t>(), codes.integers.numel(), codes.group,
                 [&](uint8_t width, int64_t lo, int64_t hi) {
                   const int32_t lowest = lowest_code(codes.decoder, width);
                   int64_t& at = next[width];
                   order.for_each(lo, hi, [&](int64_t i) { visit(lowest, at++, i); });
                 });
}

}  // namespace

std::vector<WidthClass> width_classes(std::span<const uint8_t> bits, int64_t numel, int64_t group) {
  PerWidth counts{};
  for_each_width(bits, numel, group,
                 [&](uint8_t width, int64_t lo, int64_t hi) { counts[width] += hi - lo; });
  std::vector<WidthClass> classes;
  for (size_t width = 0; width < counts.size(); ++width) {
    if (counts[width] > 0) classes.push_back({static_cast<int>(width), counts[width]});
  }
  return classes;
}

std::vector<uint16_t> gather_symbols(const Codes& codes, std::span<const WidthClass> classes) {
  std::vector<uint16_t> symbols(static_cast<size_t>(codes.integers.numel()));
  const int32_t* q = codes.integers.ptr<int32_t>();
  uint16_t* to = symbols.data();
  for_each_code(codes, classes, [=](int32_t lowest, int64_t symbol, int64_t code) {
    to[symbol] = static_cast<uint16_t>(q[code] - lowest);
  });
  return symbols;
}

void scatter_symbols(Codes& codes, std::span<const uint16_t> symbols, std::span<const WidthClass> classes) {
  int32_t* q = codes.integers.mut<int32_t>();
  const uint16_t* from = symbols.data();
  for_each_code(codes, classes,
                [=](int32_t lowest, int64_t symbol, int64_t code) { q[code] = from[symbol] + lowest; });
}

WidthSymbols width_symbols(std::span<const uint8_t> bits) {
  WidthSymbols widths;
  if (bits.empty()) return widths;
  widths.least = *std::min_element(bits.begin(), bits.end());
  widths.greatest = *std::max_element(bits.begin(), bits.end());
  for (const uint8_t width : bits) widths.symbols.push_back(static_cast<uint16_t>(width - widths.least));
  return widths;
}

WidthClass class_of_widths(uint8_t least, uint8_t greatest, int64_t groups) {
  return {static_cast<int>(std::bit_width(static_cast<unsigned>(greatest - least))), groups};
}

}  // namespace lathe::quant
