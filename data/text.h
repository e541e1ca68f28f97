#pragma once
// Texts as training sees them: windows of tokens, and what follows each token.

#include <memory>
#include <string>
#include <vector>

#include "data/common.h"
#include "data/dataset.h"
#include "data/vocabulary.h"

namespace lathe {

/// What every data set of texts understands. Evaluation cuts the stream into blocks of `context` -
/// `context_window` targets, each scored once behind up to `context_window` earlier tokens that are not
/// (metrics.md 5.2, protocols 1 and 2); with `break` "lines" a block holds whole lines, as
/// fairseq's "complete".
struct TextOptions {
  int64_t context = 256;
  std::string windows = "random";
  std::optional<int64_t> samples;
  int64_t context_window = 0;
  std::string line_break = "tokens";
  DataCommon common;
  void fields(FieldVisitor& v);
};

/// A split's text.
struct TextSource {
  std::string type, split;
  std::shared_ptr<const Vocabulary> vocabulary;
  EncodedText text;
  std::vector<Value::Member> facts = {};  ///< what describe() adds
};

/// Sample i of training is the window that begins at a place drawn by Philox{seed, "windows", epoch} at word
/// i, or block i. The first token of a stream has "</s>" before it where the vocabulary has that; else it is
/// context only and never scored.
class TextDataset : public Dataset {
 public:
  /// ConfigError for options that contradict each other, DataError where the text is shorter than a window.
  TextDataset(TextSource source, const TextOptions& options, const FieldPath& where, uint64_t seed);

  int64_t size() const override { return size_; }
  const DatasetInfo& info() const override { return info_; }
  Batch allocate(int64_t n) const override;
  void load(int64_t index, uint32_t epoch, Batch& batch, int64_t slot) const override;
  Value describe() const override;
  std::vector<std::string> oddities() const override;

  const Vocabulary& vocabulary() const { return *source_.vocabulary; }
  const std::vector<int32_t>& tokens() const { return source_.text.ids; }

 private:
  /// Targets [begin, end) of the stream are scored behind `context` earlier ones.
  struct Block {
    int64_t begin, end, context;
  };
  bool random() const;
  int64_t first_target() const { return source_.vocabulary->line_end() >= 0 ? 0 : 1; }
  int64_t longest(int64_t begin) const;
  void cut_blocks(int64_t most);
  void describe_split();
  Block block(int64_t index, uint32_t epoch) const;

  TextSource source_;
  TextOptions options_;
  uint64_t seed_;
  std::vector<Block> blocks_;  // empty where windows are random
  int64_t size_ = 0;
  DatasetInfo info_;
};

}  // namespace lathe
