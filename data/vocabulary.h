#pragma once
// Text as numbers, and back.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/value.h"

namespace lathe {

enum class TokenUnit : uint8_t {
  Byte,       ///< 256 tokens, any text
  Character,  ///< Unicode code points
  Word,       ///< what white space separates; a line's end is the word "</s>" where the vocabulary has it
};

/// Token ids of a text and where its words and lines are counted from.
struct EncodedText {
  std::vector<int32_t> ids;
  std::vector<int64_t> unknown = {};  ///< places of words that became "<unk>" and are not spelled so, rising
  /// Only tokens [begin, end) are left.
  void keep(int64_t begin, int64_t end);
};

struct DictionaryOptions {
  int64_t threshold = 0;  ///< words that occur less often are unknown
  int64_t multiple = 8;   ///< the size is filled up to a multiple of this with "madeupword0000", ...
                          ///< but for those that are words of the text
};

/// An ordered list of tokens. Immutable, moved and never copied.
class Vocabulary {
 public:
  Vocabulary(Vocabulary&&) = default;
  Vocabulary(const Vocabulary&) = delete;
  static Vocabulary bytes();
  /// The code points of a text, ascending. DataError naming `source`, line and offset for invalid UTF-8.
  static Vocabulary characters(std::string_view text, const std::string& source);
  /// DataError for no words, a word with white space in it, empty or given twice.
  static Vocabulary words(std::vector<std::string> words, const std::string& source);
  /// Of a file with a word a line; what follows white space (fairseq writes counts) is left out.
  static Vocabulary read(const std::filesystem::path& path);
  /// fairseq's dictionary of a text: "<s>" "<pad>" "</s>" "<unk>", then its words by decreasing frequency,
  /// equal ones in the order of their bytes.
  static Vocabulary dictionary(std::string_view text, const std::string& source,
                               const DictionaryOptions& options);

  /// What travels with a model, and back: FormatError beginning with `source` where it is none.
  Value to_value() const;
  static Vocabulary from_value(const Value& value, const std::string& source);

  TokenUnit unit() const { return unit_; }
  int64_t size() const;
  int64_t find(std::string_view token) const;  ///< -1 where there is none
  /// As a message shows it: bytes and unprintable characters by number.
  std::string name(int64_t token) const;
  int64_t line_end() const { return line_end_; }  ///< "</s>" of words, else -1
  int64_t padding() const { return padding_; }    ///< "<pad>" of words, else -1

  /// DataError naming `source`, line, the piece and the nearest word for invalid UTF-8 and for a piece that
  /// is no token, unless the vocabulary has "<unk>".
  EncodedText encode(std::string_view text, const std::string& source) const;
  /// Text of tokens: words with spaces between, "</s>" as a line's end.
  std::string decode(const std::vector<int32_t>& ids) const;
  /// The same one by one, appended to `text`; `previous` is the token before, -1 at the start.
  void append(std::string& text, int64_t token, int64_t previous) const;

 private:
  Vocabulary(TokenUnit unit, std::vector<std::string> tokens);
  EncodedText encode_words(std::string_view text, const std::string& source) const;

  TokenUnit unit_;
  std::vector<std::string> tokens_;  // in UTF-8; empty for bytes
  std::unordered_map<std::string_view, int32_t> index_;
  int64_t line_end_ = -1, padding_ = -1, unknown_ = -1;
};

/// ConfigError, beginning with `where`, that names the first difference unless both are the same.
void check_same_vocabulary(const Value& models, const Value& datas, const std::string& where);

}  // namespace lathe
