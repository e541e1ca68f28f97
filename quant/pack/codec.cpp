#include "quant/pack/codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "quant/pack/bitstream.h"
#include "quant/pack/rans.h"

namespace lathe::quant {
namespace {

/// Calls visit(class, its symbols) for every class.
template <class Symbols, class Visit>
void for_each_class(Symbols symbols, std::span<const WidthClass> classes, Visit&& visit) {
  for (const WidthClass& one : classes) {
    visit(one, symbols.first(static_cast<size_t>(one.count)));
    symbols = symbols.subspan(static_cast<size_t>(one.count));
  }
}

uint64_t raw_bytes_each(std::span<const WidthClass> classes) {
  return !classes.empty() && classes.back().width > 8 ? 2 : 1;
}

uint64_t raw_bytes(std::span<const WidthClass> classes) {
  uint64_t count = 0;
  for (const WidthClass& one : classes) count += static_cast<uint64_t>(one.count);
  return count * raw_bytes_each(classes);
}

uint64_t bitpack_bytes(std::span<const WidthClass> classes) {
  uint64_t bits = 0;
  for (const WidthClass& one : classes) {
    bits += static_cast<uint64_t>(one.count) * static_cast<uint64_t>(one.width);
  }
  return bits / 8 + (bits % 8 != 0 ? 1 : 0);
}

std::vector<int64_t> count_symbols(std::span<const uint16_t> symbols, int width) {
  std::vector<int64_t> counts(size_t{1} << width);
  for (const uint16_t symbol : symbols) ++counts[symbol];
  return counts;
}

std::vector<std::byte> encode_raw(std::span<const uint16_t> symbols, std::span<const WidthClass> classes) {
  std::vector<std::byte> payload(static_cast<size_t>(raw_bytes(classes)));
  if (raw_bytes_each(classes) == 1) {
    std::transform(symbols.begin(), symbols.end(), payload.begin(),
                   [](uint16_t symbol) { return static_cast<std::byte>(symbol); });
  } else if (!symbols.empty()) {
    std::memcpy(payload.data(), symbols.data(), payload.size());
  }
  return payload;
}

std::vector<std::byte> encode_bitpack(std::span<const uint16_t> symbols,
                                      std::span<const WidthClass> classes) {
  BitWriter out;
  for_each_class(symbols, classes, [&](const WidthClass& one, std::span<const uint16_t> part) {
    for (const uint16_t symbol : part) out.put(symbol, one.width);
  });
  return out.take();
}

/// Tables of all classes, what they take in bytes, and an estimate of the payload.
struct AnsPlan {
  std::vector<FrequencyTable> tables;
  std::vector<std::byte> table_bytes;
  double payload_bytes = static_cast<double>(kRansLeastBytes) / 2;
};

AnsPlan plan_ans(std::span<const uint16_t> symbols, std::span<const WidthClass> classes) {
  AnsPlan plan;
  BitWriter out;
  for_each_class(symbols, classes, [&](const WidthClass& one, std::span<const uint16_t> part) {
    const std::vector<int64_t> counts = count_symbols(part, one.width);
    plan.tables.push_back(make_table(counts));
    write_table(out, plan.tables.back(), one.width);
    plan.payload_bytes += coded_bits(plan.tables.back(), counts) / 8;
  });
  plan.table_bytes = out.take();
  return plan;
}

std::vector<RansRun> runs_of(const std::vector<FrequencyTable>& tables, std::span<const WidthClass> classes) {
  std::vector<RansRun> runs;
  for (size_t i = 0; i < tables.size(); ++i) runs.push_back({&tables[i], classes[i].count});
  return runs;
}

void decode_raw(std::span<uint16_t> symbols, std::span<const WidthClass> classes,
                std::span<const std::byte> payload, std::string_view where) {
  if (raw_bytes_each(classes) == 1) {
    std::transform(payload.begin(), payload.end(), symbols.begin(),
                   [](std::byte byte) { return std::to_integer<uint16_t>(byte); });
  } else if (!symbols.empty()) {
    std::memcpy(symbols.data(), payload.data(), payload.size());
  }
  for_each_class(symbols, classes, [&](const WidthClass& one, std::span<uint16_t> part) {
    const auto wide =
        std::find_if(part.begin(), part.end(), [&](uint16_t symbol) { return symbol >> one.width != 0; });
    LATHE_CHECK(FormatError, wide == part.end(), where, ": symbol ", *wide, " does not fit in ", one.width,
                " bits");
  });
}

void decode_bitpack(std::span<uint16_t> symbols, std::span<const WidthClass> classes,
                    std::span<const std::byte> payload, std::string_view where) {
  uint64_t bit = 0;
  for_each_class(symbols, classes, [&](const WidthClass& one, std::span<uint16_t> part) {
    unpack_bits(part, payload, bit, one.width);
    bit += part.size() * static_cast<uint64_t>(one.width);
  });
  const bool padded = bit % 8 != 0 && std::to_integer<int>(payload.back()) >> (bit % 8) != 0;
  LATHE_CHECK(FormatError, !padded, where, ": the bits after the last code are not zero");
}

void decode_ans(std::span<uint16_t> symbols, std::span<const WidthClass> classes,
                std::span<const std::byte> table, std::span<const std::byte> payload,
                std::string_view where) {
  const std::string table_name = concat(where, ": the frequency table");
  BitReader in(table, table_name);
  std::vector<FrequencyTable> tables;
  for (const WidthClass& one : classes) tables.push_back(read_table(in, one.width));
  in.finish();
  rans_decode(symbols, runs_of(tables, classes), payload, where);
}

}  // namespace

std::string_view to_string(Codec codec) {
  switch (codec) {
    case Codec::Raw:
      return "raw";
    case Codec::Bitpack:
      return "bitpack";
    case Codec::Ans:
      return "ans";
  }
  return "unknown";
}

SymbolStream encode_symbols(std::span<const uint16_t> symbols, std::span<const WidthClass> classes) {
  const uint64_t raw = raw_bytes(classes), bitpack = bitpack_bytes(classes), simple = std::min(raw, bitpack);
  if (simple > kRansLeastBytes) {
    AnsPlan plan = plan_ans(symbols, classes);
    // The estimate may be a little too high, never by a hundredth.
    const double estimate = static_cast<double>(plan.table_bytes.size()) + 0.99 * plan.payload_bytes;
    if (estimate < static_cast<double>(simple)) {
      SymbolStream ans{Codec::Ans, std::move(plan.table_bytes),
                       rans_encode(symbols, runs_of(plan.tables, classes))};
      if (ans.table.size() + ans.payload.size() < simple) return ans;
    }
  }
  if (bitpack < raw) return {Codec::Bitpack, {}, encode_bitpack(symbols, classes)};
  return {Codec::Raw, {}, encode_raw(symbols, classes)};
}

void check_stream(Codec codec, uint64_t table_bytes, uint64_t payload_bytes,
                  std::span<const WidthClass> classes, std::string_view where) {
  LATHE_CHECK(FormatError, codec >= Codec::Raw && codec <= Codec::Ans, where, ": codec ",
              static_cast<int>(codec), " is not known");
  if (codec == Codec::Ans) {
    LATHE_CHECK(FormatError, payload_bytes >= kRansLeastBytes && payload_bytes % 4 == 0, where,
                ": expected 4 * n bytes, at least ", kRansLeastBytes, ", found ", payload_bytes);
    return;
  }
  const uint64_t expected = codec == Codec::Raw ? raw_bytes(classes) : bitpack_bytes(classes);
  LATHE_CHECK(FormatError, table_bytes == 0, where, ": codec ", codec, " has no table, found one of ",
              table_bytes, " bytes");
  LATHE_CHECK(FormatError, payload_bytes == expected, where, ": codec ", codec, " takes ", expected,
              " bytes, found ", payload_bytes);
}

void decode_symbols(std::span<uint16_t> symbols, std::span<const WidthClass> classes, Codec codec,
                    std::span<const std::byte> table, std::span<const std::byte> payload,
                    std::string_view where) {
  check_stream(codec, table.size(), payload.size(), classes, where);
  switch (codec) {
    case Codec::Raw:
      return decode_raw(symbols, classes, payload, where);
    case Codec::Bitpack:
      return decode_bitpack(symbols, classes, payload, where);
    case Codec::Ans:
      return decode_ans(symbols, classes, table, payload, where);
  }
}

double entropy_bits(std::span<const uint16_t> symbols, std::span<const WidthClass> classes) {
  double bits = 0;
  for_each_class(symbols, classes, [&](const WidthClass& one, std::span<const uint16_t> part) {
    const double total = static_cast<double>(one.count);
    for (const int64_t count : count_symbols(part, one.width)) {
      if (count > 0) bits += static_cast<double>(count) * std::log2(total / static_cast<double>(count));
    }
  });
  return bits;
}

}  // namespace lathe::quant
