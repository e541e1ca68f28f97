#include "data/vocabulary.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"
#include "core/fields.h"
#include "core/hash.h"
#include "data/source.h"
#include "data/utf8.h"

namespace lathe {
namespace {

constexpr int64_t kBytes = 256;
constexpr const char* kUnits[] = {"bytes", "characters", "words"};

[[noreturn]] void not_utf8(std::string_view text, size_t offset, const std::string& source) {
  LATHE_THROW(DataError, source, ": ", place_in_text(text, offset), ": byte ",
              static_cast<int>(static_cast<unsigned char>(text[offset])),
              " is not UTF-8; use tokens 'bytes' for what is no text");
}

/// Calls visit(piece, offset) for each code point.
template <class Visit>
void for_each_character(std::string_view text, const std::string& source, Visit visit) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = code_point_length(text, at);
    if (length == 0) not_utf8(text, at, source);
    visit(text.substr(at, length), at);
    at += length;
  }
}

/// Calls word(piece, offset) for each word and line_end() behind each line; the last may lack its line feed.
template <class Word, class LineEnd>
void for_each_word(std::string_view text, const std::string& source, Word word, LineEnd line_end) {
  size_t begin = 0;
  const auto finish = [&](size_t end) {
    if (end > begin) word(text.substr(begin, end - begin), begin);
  };
  for (size_t at = 0; at < text.size();) {
    const size_t length = code_point_length(text, at);
    if (length == 0) not_utf8(text, at, source);
    const char32_t c = code_point(text, at, length);
    if (is_space(c)) {
      finish(at);
      begin = at + length;
      if (c == '\n') line_end();
    }
    at += length;
  }
  finish(text.size());
  if (!text.empty() && text.back() != '\n') line_end();
}

/// The words of a line, of which the first is meant.
std::string first_word(std::string_view line, const std::string& source) {
  std::string first;
  for_each_word(
      line, source,
      [&](std::string_view word, size_t) {
        if (first.empty()) first = word;
      },
      [] {});
  return first;
}

std::string joined(const std::vector<std::string>& tokens, std::string_view separator) {
  std::string all;
  for (const std::string& token : tokens) {
    if (!all.empty()) all += separator;
    all += token;
  }
  return all;
}

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

}  // namespace

void EncodedText::keep(int64_t begin, int64_t end) {
  ids.erase(ids.begin() + end, ids.end());
  ids.erase(ids.begin(), ids.begin() + begin);
  std::erase_if(unknown, [&](int64_t place) { return place < begin || place >= end; });
  for (int64_t& place : unknown) place -= begin;
}

Vocabulary::Vocabulary(TokenUnit unit, std::vector<std::string> tokens)
    : unit_(unit), tokens_(std::move(tokens)) {
  for (size_t i = 0; i < tokens_.size(); ++i) index_.emplace(tokens_[i], static_cast<int32_t>(i));
  if (unit_ != TokenUnit::Word) return;
  line_end_ = find("</s>");
  padding_ = find("<pad>");
  unknown_ = find("<unk>");
}

Vocabulary Vocabulary::bytes() {
  return {TokenUnit::Byte, {}};
}

Vocabulary Vocabulary::characters(std::string_view text, const std::string& source) {
  std::set<std::string> found;  // the order of bytes in UTF-8 is that of code points
  for_each_character(text, source, [&](std::string_view c, size_t) { found.emplace(c); });
  LATHE_CHECK(DataError, !found.empty(), source, ": the text is empty");
  return {TokenUnit::Character, {found.begin(), found.end()}};
}

Vocabulary Vocabulary::words(std::vector<std::string> words, const std::string& source) {
  LATHE_CHECK(DataError, !words.empty(), source, ": found no words, expected a vocabulary");
  std::unordered_map<std::string_view, size_t> seen;
  for (size_t i = 0; i < words.size(); ++i) {
    LATHE_CHECK(DataError, !words[i].empty(), source, ": line ", i + 1,
                ": found an empty line, expected a word");
    LATHE_CHECK(DataError, first_word(words[i], source) == words[i], source, ": line ", i + 1, ": '",
                words[i], "' holds white space, which separates words");
    const auto [place, fresh] = seen.emplace(words[i], i + 1);
    LATHE_CHECK(DataError, fresh, source, ": line ", i + 1, ": the word '", words[i], "' stands in line ",
                place->second, " already");
  }
  return {TokenUnit::Word, std::move(words)};
}

Vocabulary Vocabulary::read(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_source(path, "a word a line");
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.ends_with('\n')) text.pop_back();
  std::vector<std::string> words;
  if (!text.empty()) {
    for (const std::string& line : split_lines(text)) words.push_back(first_word(line, path.string()));
  }
  return Vocabulary::words(std::move(words), path.string());
}

Vocabulary Vocabulary::dictionary(std::string_view text, const std::string& source,
                                  const DictionaryOptions& options) {
  std::unordered_map<std::string_view, int64_t> counts;
  for_each_word(
      text, source, [&](std::string_view word, size_t) { ++counts[word]; }, [] {});
  std::vector<std::string> words = {"<s>", "<pad>", "</s>", "<unk>"};
  for (const std::string& special : words) counts.erase(special);
  std::vector<std::pair<std::string_view, int64_t>> order(counts.begin(), counts.end());
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  for (const auto& [word, count] : order) {
    if (count >= options.threshold) words.emplace_back(word);
  }
  for (int64_t i = 0; static_cast<int64_t>(words.size()) % options.multiple != 0; ++i) {
    std::string number = std::to_string(i);
    number.insert(0, 4 - std::min<size_t>(4, number.size()), '0');
    std::string filler = "madeupword" + number;
    if (!counts.contains(filler)) words.push_back(std::move(filler));
  }
  return {TokenUnit::Word, std::move(words)};
}

Value Vocabulary::to_value() const {
  Value value = Value::object({{"unit", Value::string(kUnits[static_cast<size_t>(unit_)])}});
  if (unit_ == TokenUnit::Character) value.set("tokens", Value::string(joined(tokens_, "")));
  if (unit_ == TokenUnit::Word) value.set("tokens", Value::string(joined(tokens_, "\n")));
  return value;
}

Vocabulary Vocabulary::from_value(const Value& value, const std::string& source) try {
  const Value* unit = value.find("unit");
  const Value* tokens = value.find("tokens");
  const auto is = [&](TokenUnit wanted) {
    return unit != nullptr && unit->is(Value::Type::String) &&
           unit->as_string() == kUnits[static_cast<size_t>(wanted)];
  };
  if (is(TokenUnit::Byte) && tokens == nullptr) return bytes();
  const bool listed = tokens != nullptr && tokens->is(Value::Type::String);
  if (is(TokenUnit::Character) && listed) {
    std::vector<std::string> all;
    for_each_character(tokens->as_string(), source, [&](std::string_view c, size_t) { all.emplace_back(c); });
    Vocabulary vocabulary(TokenUnit::Character, std::move(all));
    LATHE_CHECK(FormatError, vocabulary.index_.size() == vocabulary.tokens_.size() && vocabulary.size() > 0,
                source, ": tokenizer: a character stands twice, or there is none");
    return vocabulary;
  }
  if (is(TokenUnit::Word) && listed) return words(split_lines(tokens->as_string()), source);
  LATHE_THROW(FormatError, source,
              ": tokenizer: expected {\"unit\": \"bytes\", \"characters\" or \"words\", "
              "\"tokens\": ...}");
} catch (const DataError& error) {
  throw FormatError(error.what());
}

int64_t Vocabulary::size() const {
  return unit_ == TokenUnit::Byte ? kBytes : static_cast<int64_t>(tokens_.size());
}

int64_t Vocabulary::find(std::string_view token) const {
  if (unit_ == TokenUnit::Byte) return token.size() == 1 ? static_cast<unsigned char>(token[0]) : -1;
  const auto it = index_.find(token);
  return it == index_.end() ? -1 : it->second;
}

std::string Vocabulary::name(int64_t token) const {
  if (unit_ == TokenUnit::Byte) return concat("byte ", token);
  const std::string& text = tokens_.at(static_cast<size_t>(token));
  const bool control = text.size() == 1 && (static_cast<unsigned char>(text[0]) < 0x20 || text[0] == 0x7F);
  return control ? concat("character ", static_cast<int>(text[0])) : concat("'", text, "'");
}

EncodedText Vocabulary::encode(std::string_view text, const std::string& source) const {
  EncodedText out;
  if (unit_ == TokenUnit::Byte) {
    for (const char c : text) out.ids.push_back(static_cast<unsigned char>(c));
    return out;
  }
  if (unit_ == TokenUnit::Word) return encode_words(text, source);
  for_each_character(text, source, [&](std::string_view c, size_t at) {
    const int64_t id = find(c);
    LATHE_CHECK(DataError, id >= 0, source, ": ", place_in_text(text, at), ": the character '", c,
                "' is not among the vocabulary's ", size());
    out.ids.push_back(static_cast<int32_t>(id));
  });
  return out;
}

EncodedText Vocabulary::encode_words(std::string_view text, const std::string& source) const {
  EncodedText out;
  const auto word = [&](std::string_view piece, size_t at) {
    int64_t id = find(piece);
    if (id < 0) {
      if (unknown_ < 0) {
        const std::string near = nearest(piece, tokens_);
        LATHE_THROW(DataError, source, ": ", place_in_text(text, at), ": the word '", piece,
                    "' is not among the vocabulary's ", size(), ", which has no <unk>",
                    near.empty() ? "" : concat("; the nearest is '", near, "'"));
      }
      id = unknown_;
      out.unknown.push_back(static_cast<int64_t>(out.ids.size()));
    }
    out.ids.push_back(static_cast<int32_t>(id));
  };
  for_each_word(text, source, word, [&] {
    if (line_end_ >= 0) out.ids.push_back(static_cast<int32_t>(line_end_));
  });
  return out;
}

void Vocabulary::append(std::string& text, int64_t token, int64_t previous) const {
  if (unit_ == TokenUnit::Byte) {
    text.push_back(static_cast<char>(token));
    return;
  }
  const std::string& piece = tokens_.at(static_cast<size_t>(token));
  if (unit_ == TokenUnit::Character) {
    text += piece;
  } else if (token == line_end_) {
    text.push_back('\n');
  } else {
    if (previous >= 0 && previous != line_end_) text.push_back(' ');
    text += piece;
  }
}

std::string Vocabulary::decode(const std::vector<int32_t>& ids) const {
  std::string text;
  int64_t previous = -1;
  for (const int32_t id : ids) {
    append(text, id, previous);
    previous = id;
  }
  return text;
}

void check_same_vocabulary(const Value& models, const Value& datas, const std::string& where) {
  if (models == datas) return;
  const Vocabulary a = Vocabulary::from_value(models, where), b = Vocabulary::from_value(datas, where);
  const auto unit = [](const Vocabulary& v) { return kUnits[static_cast<size_t>(v.unit())]; };
  LATHE_CHECK(ConfigError, a.unit() == b.unit() && a.size() == b.size(), where,
              ": the model's vocabulary is ", a.size(), " ", unit(a), ", the data's ", b.size(), " ",
              unit(b));
  for (int64_t i = 0; i < a.size(); ++i) {
    LATHE_CHECK(ConfigError, a.name(i) == b.name(i), where, ": token ", i, " is ", a.name(i),
                " in the model's vocabulary, ", b.name(i), " in the data's");
  }
}

}  // namespace lathe
