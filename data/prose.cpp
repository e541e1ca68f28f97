#include "data/prose.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/philox.h"

namespace lathe {
namespace {

constexpr uint32_t kNouns = 48, kVerbs = 24, kAdjectives = 16, kPrepositions = 6;
constexpr uint32_t kFavourites = 4;  // of a noun among verbs, of a verb among nouns

using Weights = std::vector<uint32_t>;

/// Different words of one to three syllables.
class Words {
 public:
  explicit Words(uint64_t seed) : philox_{seed, stream_id("prose/words"), 0} {}

  std::vector<std::string> make(uint32_t count, uint32_t syllables) {
    std::vector<std::string> words;
    while (words.size() < count) {
      std::string word;
      for (uint32_t s = 0; s < syllables; ++s) word += syllable();
      if (seen_.insert(word).second) words.push_back(word);
    }
    return words;
  }

 private:
  std::string syllable() {
    static constexpr std::string_view kConsonants = "bcdfghjklmnpqrtvwxyz", kVowels = "aeiou";
    return {kConsonants[philox_.below(next_++, static_cast<uint32_t>(kConsonants.size()))],
            kVowels[philox_.below(next_++, static_cast<uint32_t>(kVowels.size()))]};
  }

  Philox philox_;
  uint64_t next_ = 0;
  std::set<std::string> seen_;
};

/// Weights that fall with the rank, 1 / (rank + 3) in integers, and four favourites of each of `rows`.
std::vector<Weights> preferences(const Philox& philox, uint32_t rows, uint32_t columns) {
  std::vector<Weights> all(rows, Weights(columns));
  uint64_t next = 0;
  for (Weights& row : all) {
    uint32_t sum = 0;
    for (uint32_t c = 0; c < columns; ++c) sum += row[c] = 240 / (c + 3);
    for (uint32_t f = 0; f < kFavourites; ++f) row[philox.below(next++, columns)] += sum >> f;
  }
  return all;
}

class Writer {
 public:
  Writer(uint64_t seed, const std::string& split)
      : philox_{seed, stream_id("prose/" + split), 0},
        verbs_by_noun_(preferences({seed, stream_id("prose/verbs"), 0}, kNouns, kVerbs)),
        nouns_by_verb_(preferences({seed, stream_id("prose/objects"), 0}, kVerbs, kNouns)),
        adjectives_by_noun_(preferences({seed, stream_id("prose/adjectives"), 0}, kNouns, kAdjectives)) {
    Words words(seed);
    nouns_ = words.make(kNouns, 2);
    verbs_ = words.make(kVerbs, 2);
    adjectives_ = words.make(kAdjectives, 3);
    prepositions_ = words.make(kPrepositions, 1);
    for (uint32_t n = 0; n < kNouns; ++n) frequencies_.push_back(960 / (n + 3));
  }

  void sentence() {
    Weights subjects = frequencies_;
    uint32_t sum = 0;
    for (const uint32_t w : frequencies_) sum += w;
    subjects[last_] += sum;
    const uint32_t subject = choose(subjects);
    const bool plural = choose({2, 1}) == 1;
    phrase(subject, plural);
    if (choose({3, 1}) == 1) {  // what stands between hides the subject's number from the verb
      word(prepositions_[choose(Weights(kPrepositions, 1))]);
      phrase(choose(frequencies_), choose({2, 1}) == 1);
    }
    const uint32_t verb = choose(verbs_by_noun_[subject]);
    word(verbs_[verb] + (plural ? "n" : "s"));
    last_ = choose(nouns_by_verb_[verb]);
    phrase(last_, choose({2, 1}) == 1);
    text_ += choose({5, 1}) == 1 ? ".\n" : ". ";
    fresh_ = true;
  }

  const std::string& text() const { return text_; }
  double nats() const { return nats_; }

 private:
  /// [adjective] noun, both with the ending of the number.
  void phrase(uint32_t noun, bool plural) {
    const char* ending = plural ? "n" : "";
    if (choose({5, 3}) == 1) word(adjectives_[choose(adjectives_by_noun_[noun])] + ending);
    word(nouns_[noun] + ending);
  }

  void word(const std::string& word) {
    if (!fresh_) text_ += ' ';
    text_ += word;
    fresh_ = false;
  }

  uint32_t choose(const Weights& weights) {
    uint32_t sum = 0;
    for (const uint32_t w : weights) sum += w;
    uint32_t left = philox_.below(next_++, sum);
    uint32_t i = 0;
    while (left >= weights[i]) left -= weights[i++];
    nats_ -= std::log(static_cast<double>(weights[i]) / sum);
    return i;
  }

  Philox philox_;
  std::vector<Weights> verbs_by_noun_, nouns_by_verb_, adjectives_by_noun_;
  Weights frequencies_;
  std::vector<std::string> nouns_, verbs_, adjectives_, prepositions_;
  std::string text_;
  uint64_t next_ = 0;
  uint32_t last_ = 0;
  bool fresh_ = true;
  double nats_ = 0;
};

}  // namespace

ProseText generate_prose(int64_t characters, uint64_t seed, const std::string& split) {
  Writer writer(seed, split);
  while (static_cast<int64_t>(writer.text().size()) < characters) writer.sentence();
  ProseText prose{writer.text(), writer.nats() / static_cast<double>(writer.text().size())};
  prose.text.resize(static_cast<size_t>(characters));
  return prose;
}

Vocabulary prose_vocabulary() {
  return Vocabulary::characters("\n .abcdefghijklmnopqrstuvwxyz", "prose");
}

}  // namespace lathe
