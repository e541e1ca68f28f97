#include "quant/pack/rans.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/error.h"

namespace lathe::quant {
namespace {

// States are in [2^31, 2^63): there a symbol of frequency f of 2^28 at most takes or gives one word at most.
constexpr uint64_t kLeastState = uint64_t{1} << 31;
constexpr int kStateBits = 63, kWordBits = 32;
constexpr int kDirectPrecision = 16;  // a table of 512 KiB, which stays in a second-level cache

using States = std::array<uint64_t, kRansStates>;

std::vector<uint32_t> starts_of(const FrequencyTable& table) {
  std::vector<uint32_t> starts;
  uint32_t start = 0;
  for (const uint32_t frequency : table.frequencies) {
    starts.push_back(start);
    start += frequency;
  }
  return starts;
}

struct Interval {
  uint32_t start = 0, frequency = 0;
};

std::vector<Interval> intervals_by_symbol(const FrequencyTable& table) {
  std::vector<Interval> intervals(size_t{table.symbols.back()} + 1);
  const std::vector<uint32_t> starts = starts_of(table);
  for (size_t i = 0; i < starts.size(); ++i) intervals[table.symbols[i]] = {starts[i], table.frequencies[i]};
  return intervals;
}

/// What a slot of [0, 2^precision) decodes to: x becomes frequency * (x >> precision) + bias.
struct Decoded {
  uint16_t symbol;
  uint32_t frequency;
  uint32_t bias;  // slot - start of its symbol
};

/// One entry per slot; worth building for as many symbols.
class DirectLookup {
 public:
  explicit DirectLookup(const FrequencyTable& table) : entries_(size_t{1} << table.precision) {
    size_t slot = 0;
    for (size_t i = 0; i < table.symbols.size(); ++i) {
      for (uint32_t bias = 0; bias < table.frequencies[i]; ++bias) {
        entries_[slot++] = {table.symbols[i], static_cast<uint16_t>(table.frequencies[i]),
                            static_cast<uint16_t>(bias)};
      }
    }
  }
  Decoded operator()(uint32_t slot) const {
    const Entry& entry = entries_[slot];
    return {entry.symbol, entry.frequency, entry.bias};
  }

 private:
  struct Entry {
    uint16_t symbol, frequency, bias, unused = 0;
  };
  std::vector<Entry> entries_;
};

/// Buckets of slots narrow the search for a slot's symbol. There are several for each used symbol, so that
/// most slots lie in a bucket of one symbol.
class SearchLookup {
 public:
  SearchLookup(const FrequencyTable& table, int64_t count)
      : shift_(std::max(0, table.precision - bucket_bits(table, count))) {
    const std::vector<uint32_t> starts = starts_of(table);
    for (size_t i = 0; i < starts.size(); ++i)
      entries_.push_back({starts[i], table.frequencies[i], table.symbols[i]});
    const uint32_t buckets = 1u << (table.precision - shift_), slots = 1u << table.precision;
    first_.reserve(size_t{buckets} + 1);
    size_t symbol = 0;
    for (uint32_t bucket = 0; bucket <= buckets; ++bucket) {
      const uint32_t slot = std::min(bucket << shift_, slots - 1);
      while (symbol + 1 < starts.size() && starts[symbol + 1] <= slot) ++symbol;
      first_.push_back(static_cast<uint16_t>(symbol));
    }
  }
  Decoded operator()(uint32_t slot) const {
    const uint32_t bucket = slot >> shift_;
    uint32_t low = first_[bucket], high = first_[bucket + 1];
    while (low < high) {
      const uint32_t middle = low + (high - low + 1) / 2;
      if (entries_[middle].start <= slot) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    const Entry& entry = entries_[low];
    return {entry.symbol, entry.frequency, slot - entry.start};
  }

 private:
  struct Entry {
    uint32_t start, frequency;
    uint16_t symbol;
  };
  /// At most 512 KiB of buckets, and not more buckets than codes: they would be more work than the search.
  static int bucket_bits(const FrequencyTable& table, int64_t count) {
    const int of_symbols = std::bit_width(table.symbols.size()) + 3,
              of_codes = std::bit_width(static_cast<uint64_t>(count));
    return std::min({18, of_symbols, std::max(8, of_codes)});
  }

  std::vector<Entry> entries_;
  std::vector<uint16_t> first_;  // the symbol of each bucket's first slot
  int shift_;
};

/// The reader's side: states and the words that are left.
class Decoder {
 public:
  Decoder(std::span<const std::byte> payload, std::string_view where)
      : at_(payload.data()), end_(at_ + payload.size()), where_(where) {
    LATHE_CHECK(FormatError, payload.size() >= kRansLeastBytes && payload.size() % 4 == 0, where_,
                ": expected 4 * n bytes, at least ", kRansLeastBytes, ", found ", payload.size());
    std::memcpy(states_.data(), at_, kRansLeastBytes);
    at_ += kRansLeastBytes;
    for (const uint64_t state : states_) {
      LATHE_CHECK(FormatError, state >= kLeastState && state >> kStateBits == 0, where_, ": state ", state,
                  " is out of range");
    }
  }

  /// `position` of the first symbol in the whole stream picks the state that gives it.
  template <class Lookup>
  void run(std::span<uint16_t> symbols, int64_t position, int precision, const Lookup& lookup) {
    size_t i = 0;
    const auto careful = [&] {
      uint64_t& state = states_[(static_cast<size_t>(position) + i) % kRansStates];
      symbols[i++] = step(state, precision, lookup);
      if (state < kLeastState) state = state << kWordBits | next_word();
    };
    while (i < symbols.size() && (static_cast<size_t>(position) + i) % kRansStates != 0) careful();
    while (i < symbols.size()) {
      i += fast(symbols.subspan(i), precision, lookup);
      for (size_t k = 0; k < 64 * kRansStates && i < symbols.size(); ++k) careful();
    }
  }

  void finish() const {
    LATHE_CHECK(FormatError, at_ == end_, where_, ": ", end_ - at_, " bytes are left after the last code");
    for (const uint64_t state : states_) {
      LATHE_CHECK(FormatError, state == kLeastState, where_,
                  ": the payload does not end where the codes end");
    }
  }

 private:
  template <class Lookup>
  static uint16_t step(uint64_t& state, int precision, const Lookup& lookup) {
    const Decoded decoded = lookup(static_cast<uint32_t>(state) & ((1u << precision) - 1));
    state = decoded.frequency * (state >> precision) + decoded.bias;
    return decoded.symbol;
  }

  uint32_t next_word() {
    LATHE_CHECK(FormatError, at_ != end_, where_, " ends before the last code");
    uint32_t word;
    std::memcpy(&word, at_, sizeof word);
    at_ += sizeof word;
    return word;
  }

  /// Four symbols a turn while a word is there for each; the number of symbols done.
  template <class Lookup>
  size_t fast(std::span<uint16_t> symbols, int precision, const Lookup& lookup) {
    uint64_t a = states_[0], b = states_[1], c = states_[2], d = states_[3];
    const std::byte* at = at_;
    const std::byte* const last = end_ - kRansStates * sizeof(uint32_t);
    const auto refill = [&at](uint64_t& state) {
      uint32_t word;
      std::memcpy(&word, at, sizeof word);
      const bool low = state < kLeastState;
      state = low ? state << kWordBits | word : state;
      at += low ? sizeof word : 0;
    };
    size_t i = 0;
    while (i + kRansStates <= symbols.size() && at <= last) {
      symbols[i] = step(a, precision, lookup);
      symbols[i + 1] = step(b, precision, lookup);
      symbols[i + 2] = step(c, precision, lookup);
      symbols[i + 3] = step(d, precision, lookup);
      refill(a);
      refill(b);
      refill(c);
      refill(d);
      i += kRansStates;
    }
    states_ = {a, b, c, d};
    at_ = at;
    return i;
  }

  States states_{};
  const std::byte* at_;
  const std::byte* end_;
  std::string_view where_;
};

/// The writer's side of one symbol; it goes from the last symbol to the first.
void push(uint64_t& state, Interval interval, int precision, std::vector<uint32_t>& words) {
  if (state >= static_cast<uint64_t>(interval.frequency) << (kStateBits - precision)) {
    words.push_back(static_cast<uint32_t>(state));
    state >>= kWordBits;
  }
  state = (state / interval.frequency << precision) + state % interval.frequency + interval.start;
}

}  // namespace

std::vector<std::byte> rans_encode(std::span<const uint16_t> symbols, std::span<const RansRun> runs) {
  States states;
  states.fill(kLeastState);
  std::vector<uint32_t> words;
  size_t end = symbols.size();
  for (size_t r = runs.size(); r-- > 0;) {
    const size_t begin = end - static_cast<size_t>(runs[r].count);
    const FrequencyTable& table = *runs[r].table;
    if (table.symbols.size() > 1) {
      const std::vector<Interval> intervals = intervals_by_symbol(table);
      for (size_t i = end; i-- > begin;) {
        push(states[i % kRansStates], intervals[symbols[i]], table.precision, words);
      }
    }
    end = begin;
  }
  LATHE_ASSERT(end == 0, "runs cover every symbol");
  std::reverse(words.begin(), words.end());
  std::vector<std::byte> payload(kRansLeastBytes + words.size() * sizeof(uint32_t));
  std::memcpy(payload.data(), states.data(), kRansLeastBytes);
  if (!words.empty()) {
    std::memcpy(payload.data() + kRansLeastBytes, words.data(), words.size() * sizeof(uint32_t));
  }
  return payload;
}

void rans_decode(std::span<uint16_t> symbols, std::span<const RansRun> runs,
                 std::span<const std::byte> payload, std::string_view where) {
  Decoder decoder(payload, where);
  int64_t position = 0;
  for (const RansRun& run : runs) {
    const FrequencyTable& table = *run.table;
    const std::span<uint16_t> part =
        symbols.subspan(static_cast<size_t>(position), static_cast<size_t>(run.count));
    if (table.symbols.size() == 1) {
      std::fill(part.begin(), part.end(), table.symbols[0]);
    } else if (table.precision <= kDirectPrecision && run.count >> table.precision > 0) {
      decoder.run(part, position, table.precision, DirectLookup(table));
    } else {
      decoder.run(part, position, table.precision, SearchLookup(table, run.count));
    }
    position += run.count;
  }
  decoder.finish();
}

}  // namespace lathe::quant
