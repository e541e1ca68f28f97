#include "quant/pack/frequency_table.h"

#include <algorithm>
#include <array>
#include <bit>

#include "core/error.h"

namespace lathe::quant {
namespace {

constexpr std::array<int, 8> kPrecisions = {8, 10, 12, 14, 16, 20, 24, 28};
constexpr std::array<uint64_t, 8> kMantissa = {128, 140, 152, 166, 181, 197, 215, 235};  // 128 * 2^(i / 8)
constexpr int kMostRice = 15, kMostCoarse = 3, kMostLevel = 255;

/// Levels are below 256, so that a weight is below 2^39 and the sum over 2^16 symbols below 2^55.
uint64_t weight_of(uint8_t level) {
  return kMantissa[level % 8] << (level / 8);
}

/// The level nearest to 8 * log2(count), without a library function: the same on every machine.
int level_of(uint64_t count) {
  constexpr std::array<uint64_t, 8> kBorders = {34219, 37316, 40693, 44376, 48393, 52772, 57549, 62757};
  const int octave = std::bit_width(count) - 1;
  const uint64_t mantissa = octave >= 15 ? count >> (octave - 15) : count << (15 - octave);
  const auto above = std::upper_bound(kBorders.begin(), kBorders.end(), mantissa);
  return 8 * octave + static_cast<int>(above - kBorders.begin());
}

/// From additions, multiplications and divisions alone, so that every machine chooses the same table.
double log2_of(double x) {  // of an integer from 1 to 2^47
  int exponent = std::bit_width(static_cast<uint64_t>(x)) - 1;
  double mantissa = x / static_cast<double>(uint64_t{1} << exponent);
  if (mantissa > 1.5) {
    mantissa /= 2;
    ++exponent;
  }
  const double z = (mantissa - 1) / (mantissa + 1);
  double series = 0;  // of atanh(z) / z
  for (int n = 21; n >= 1; n -= 2) series = series * (z * z) + 1.0 / n;
  constexpr double kTwoOverLn2 = 2.8853900817779268;
  return exponent + kTwoOverLn2 * z * series;
}

/// floor(a * b / c)
uint64_t multiply_divide(uint64_t a, uint64_t b, uint64_t c) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(static_cast<Wide>(a) * b / c);
}

/// Each symbol gets 1, the rest is dealt out by weight, and what rounding leaves goes to the first of the
/// most frequent. Needs 2^precision >= the number of symbols.
void set_frequencies(FrequencyTable& table, int precision) {
  const size_t used = table.symbols.size();
  const uint64_t total = uint64_t{1} << precision, dealt = total - used;
  uint64_t weights = 0, sum = 0;
  for (const uint8_t level : table.levels) weights += weight_of(level);
  table.precision = precision;
  table.frequencies.resize(used);
  size_t most = 0;
  for (size_t i = 0; i < used; ++i) {
    const uint64_t frequency = 1 + multiply_divide(weight_of(table.levels[i]), dealt, weights);
    table.frequencies[i] = static_cast<uint32_t>(frequency);
    sum += frequency;
    if (table.levels[i] > table.levels[most]) most = i;
  }
  table.frequencies[most] += static_cast<uint32_t>(total - sum);
}

/// Bits of a Rice code: value >> rice ones, a zero, then the low `rice` bits.
uint64_t rice_bits(uint64_t value, int rice) {
  return (value >> rice) + 1 + static_cast<uint64_t>(rice);
}

/// Symbols not used between the last used one and this one, i > 0.
uint64_t skipped(const FrequencyTable& table, size_t i) {
  return table.symbols[i] - table.symbols[i - 1] - 1u;
}

int best_rice(const FrequencyTable& table) {
  int best = 0;
  uint64_t least = UINT64_MAX;
  for (int rice = 0; rice <= kMostRice; ++rice) {
    uint64_t bits = 0;
    for (size_t i = 1; i < table.symbols.size(); ++i) bits += rice_bits(skipped(table, i), rice);
    if (bits >= least) continue;
    least = bits;
    best = rice;
  }
  return best;
}

void write_rice(BitWriter& out, uint64_t value, int rice) {
  for (uint64_t ones = value >> rice; ones > 0; --ones) out.put(1, 1);
  out.put(0, 1);
  out.put(value & ((uint64_t{1} << rice) - 1), rice);
}

uint64_t read_rice(BitReader& in, int rice, uint64_t limit) {
  uint64_t high = 0;
  while (in.get(1) == 1) {
    LATHE_CHECK(FormatError, ++high << rice < limit, in.where(), ": a symbol is beyond ", limit - 1);
  }
  return high << rice | in.get(rice);
}

std::vector<uint8_t> rounded(const std::vector<int>& levels, int coarse) {
  std::vector<uint8_t> list;
  for (const int level : levels) {
    list.push_back(static_cast<uint8_t>((level + (1 << coarse) / 2) >> coarse << coarse));
  }
  return list;
}

int level_width(const FrequencyTable& table) {
  return std::bit_width(
      static_cast<unsigned>(*std::max_element(table.levels.begin(), table.levels.end()) >> table.coarse));
}

/// Bits of a table of several symbols below 2^width.
uint64_t table_bits(const FrequencyTable& table, int width) {
  const uint64_t used = table.symbols.size();
  const int rice = best_rice(table), digits = std::bit_width(used) - 1;
  uint64_t bits = 13 + static_cast<uint64_t>(width + 2 * digits + 1);
  bits += used * static_cast<uint64_t>(level_width(table));
  for (size_t i = 1; i < used; ++i) bits += rice_bits(skipped(table, i), rice);
  return bits;
}

double entropy_of(const FrequencyTable& table, std::span<const int64_t> counts) {
  double total = 0, bits = 0;
  for (const uint16_t symbol : table.symbols) total += static_cast<double>(counts[symbol]);
  for (const uint16_t symbol : table.symbols) {
    const auto count = static_cast<double>(counts[symbol]);
    bits += count * (log2_of(total) - log2_of(count));
  }
  return bits;
}

/// The least precision that costs at most 0.1 % more than the best.
void choose_precision(FrequencyTable& table, std::span<const int64_t> counts) {
  std::array<double, kPrecisions.size()> cost{};
  double best = 0;
  for (size_t i = 0; i < cost.size(); ++i) {
    if (uint64_t{1} << kPrecisions[i] < table.symbols.size()) continue;
    set_frequencies(table, kPrecisions[i]);
    cost[i] = coded_bits(table, counts);
    if (best == 0 || cost[i] < best) best = cost[i];
  }
  const auto good = [&](double bits) { return bits > 0 && bits <= best * 1.001 + 8; };
  const auto chosen = std::find_if(cost.begin(), cost.end(), good) - cost.begin();
  set_frequencies(table, kPrecisions[static_cast<size_t>(chosen)]);
}

}  // namespace

FrequencyTable make_table(std::span<const int64_t> counts) {
  FrequencyTable table;
  std::vector<int> levels;
  for (size_t symbol = 0; symbol < counts.size(); ++symbol) {
    if (counts[symbol] == 0) continue;
    table.symbols.push_back(static_cast<uint16_t>(symbol));
    levels.push_back(level_of(static_cast<uint64_t>(counts[symbol])));
  }
  const int least = *std::min_element(levels.begin(), levels.end());
  for (int& level : levels) level -= least;
  if (levels.size() == 1) {
    table.levels = {0};
    table.frequencies = {1};
    return table;
  }
  const double allowed = 16 * static_cast<double>(levels.size()), entropy = entropy_of(table, counts);
  FrequencyTable best;
  double fewest = 0;
  for (table.coarse = 0; table.coarse <= kMostCoarse; ++table.coarse) {
    table.levels = rounded(levels, table.coarse);
    choose_precision(table, counts);
    const double bits = static_cast<double>(table_bits(table, std::bit_width(counts.size() - 1))),
                 payload = coded_bits(table, counts);
    if (bits <= allowed && payload <= 1.007 * entropy + 64) return table;
    if (table.coarse > 0 && bits + payload >= fewest) continue;
    fewest = bits + payload;
    best = table;
  }
  return best;
}

double coded_bits(const FrequencyTable& table, std::span<const int64_t> counts) {
  double bits = 0;
  for (size_t i = 0; i < table.symbols.size(); ++i) {
    bits += static_cast<double>(counts[table.symbols[i]]) * (table.precision - log2_of(table.frequencies[i]));
  }
  return bits;
}

void write_table(BitWriter& out, const FrequencyTable& table, int width) {
  const size_t used = table.symbols.size();
  const int digits = std::bit_width(used) - 1;
  out.put(uint64_t{1} << digits, digits + 1);  // zeros, a one, then the digits below it
  out.put(used - (size_t{1} << digits), digits);
  if (used == 1) {
    out.put(table.symbols[0], width);
    return;
  }
  const auto precision = std::find(kPrecisions.begin(), kPrecisions.end(), table.precision);
  const int width_of_levels = level_width(table), rice = best_rice(table);
  out.put(static_cast<uint64_t>(precision - kPrecisions.begin()), 3);
  out.put(static_cast<uint64_t>(width_of_levels), 4);
  out.put(static_cast<uint64_t>(table.coarse), 2);
  out.put(static_cast<uint64_t>(rice), 4);
  for (size_t i = 0; i < used; ++i) {
    if (i == 0) {
      out.put(table.symbols[0], width);
    } else {
      write_rice(out, skipped(table, i), rice);
    }
    out.put(table.levels[i] >> table.coarse, width_of_levels);
  }
}

FrequencyTable read_table(BitReader& in, int width) {
  const std::string_view where = in.where();
  const uint64_t alphabet = uint64_t{1} << width;
  int digits = 0;
  while (in.get(1) == 0) {
    LATHE_CHECK(FormatError, ++digits <= width, where, ": more than ", alphabet, " used symbols");
  }
  const uint64_t used = uint64_t{1} << digits | in.get(digits);
  LATHE_CHECK(FormatError, used <= alphabet, where, ": ", used, " used symbols of ", alphabet);
  FrequencyTable table;
  if (used == 1) {
    table.symbols = {static_cast<uint16_t>(in.get(width))};
    table.levels = {0};
    table.frequencies = {1};
    return table;
  }
  const int precision = kPrecisions[in.get(3)], width_of_levels = static_cast<int>(in.get(4));
  table.coarse = static_cast<int>(in.get(2));
  const int rice = static_cast<int>(in.get(4));
  LATHE_CHECK(FormatError, width_of_levels + table.coarse <= 8, where, ": levels of ", width_of_levels,
              " bits in steps of ", 1 << table.coarse, ", the most is ", kMostLevel);
  LATHE_CHECK(FormatError, used <= uint64_t{1} << precision, where, ": ", used,
              " used symbols with precision ", precision);
  LATHE_CHECK(FormatError, used <= in.bits_left(), where, ": ", used, " used symbols in ", in.bits_left(),
              " bits");
  uint64_t next = 0;
  for (uint64_t i = 0; i < used; ++i) {
    next += i == 0 ? in.get(width) : read_rice(in, rice, alphabet);
    LATHE_CHECK(FormatError, next < alphabet, where, ": symbol ", next, " is beyond ", alphabet - 1);
    table.symbols.push_back(static_cast<uint16_t>(next++));
    table.levels.push_back(static_cast<uint8_t>(in.get(width_of_levels) << table.coarse));
  }
  set_frequencies(table, precision);
  return table;
}

}  // namespace lathe::quant
