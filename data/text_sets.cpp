#include "data/text_sets.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "data/prose.h"
#include "data/source.h"
#include "data/split_entry.h"

namespace lathe {
namespace {

using Entry = SplitRegistry::Entry;
using SharedVocabulary = std::shared_ptr<const Vocabulary>;

struct TextFileOptions {
  std::string root = "data/text";
  std::string file = "input.txt";
  std::string test_file;
  double test_fraction = 0.1;
  std::string tokens = "characters";
  std::string vocabulary;
  TextOptions text;
  void fields(FieldVisitor& v) {
    v.visit("root", root, {.doc = "folder of the files"});
    v.visit("file", file, {.doc = "the training text, or all of it"});
    v.visit("test_file", test_file, {.doc = "the test text; empty: the end of 'file'"});
    v.visit("test_fraction", test_fraction,
            {.doc = "share of 'file' that is the test text where there is no 'test_file'",
             .min = 0,
             .max = 1,
             .above_min = true,
             .below_max = true});
    v.visit("tokens", tokens,
            {.doc = "what the text is cut into; words need a 'vocabulary'",
             .choices = {"bytes", "characters", "words"}});
    v.visit("vocabulary", vocabulary, {.doc = "file in 'root' with a word a line"});
    text.fields(v);
  }
};

struct WikitextOptions {
  std::string root = "data/wikitext2";
  std::string evaluate = "test";
  DictionaryOptions dictionary;
  TextOptions text;
  void fields(FieldVisitor& v) {
    v.visit("root", root, {.doc = "folder of wiki.train.tokens, wiki.valid.tokens and wiki.test.tokens"});
    v.visit("evaluate", evaluate, {.doc = "the file that is evaluated", .choices = {"valid", "test"}});
    v.visit("threshold", dictionary.threshold,
            {.doc = "words that occur less often in the training text are <unk>", .min = 0});
    v.visit("multiple", dictionary.multiple,
            {.doc = "the vocabulary is filled up to a multiple of this", .min = 1, .max = 1 << 20});
    text.fields(v);
  }
};

struct ProseOptions {
  int64_t train = 1000000, test = 100000;
  int64_t seed = 1;
  TextOptions text;
  void fields(FieldVisitor& v) {
    v.visit("train", train, {.doc = "characters of the training text", .min = 1000, .max = 1e9});
    v.visit("test", test, {.doc = "characters of the test text", .min = 1000, .max = 1e9});
    v.visit("seed", seed,
            {.doc = "of the language and its texts; the run's seed does not change them", .min = 0});
    text.fields(v);
  }
};

std::string read_file(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_source(path, "a text");
  LATHE_CHECK(DataError, !bytes.empty(), path.string(), ": the file is empty, expected a text");
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

SharedVocabulary shared(Vocabulary vocabulary) {
  return std::make_shared<const Vocabulary>(std::move(vocabulary));
}

SharedVocabulary vocabulary_of(const TextFileOptions& options, const FieldPath& where) {
  const std::filesystem::path root = options.root;
  if ((options.tokens == "words") == options.vocabulary.empty()) {
    config_error(where / "vocabulary", 0,
                 concat(options.tokens == "words" ? "tokens 'words' need" : "only tokens 'words' take",
                        " a vocabulary file"));
  }
  if (options.tokens == "bytes") return shared(Vocabulary::bytes());
  if (options.tokens == "words") return shared(Vocabulary::read(root / options.vocabulary));
  const std::filesystem::path file = root / options.file;
  return shared(Vocabulary::characters(read_file(file), file.string()));
}

TextSource read_text_files(const TextFileOptions& options, const FieldPath& where, const std::string& split) {
  const bool training = split == "train", own_file = !options.test_file.empty();
  TextSource source{.type = "text", .split = split, .vocabulary = vocabulary_of(options, where), .text = {}};
  const std::filesystem::path file =
      std::filesystem::path(options.root) / (training || !own_file ? options.file : options.test_file);
  source.text = source.vocabulary->encode(read_file(file), file.string());
  if (own_file) return source;
  const auto tokens = static_cast<int64_t>(source.text.ids.size());
  const auto kept = static_cast<int64_t>(static_cast<double>(tokens) * (1 - options.test_fraction));
  training ? source.text.keep(0, kept) : source.text.keep(kept, tokens);
  return source;
}

TextSource read_wikitext(const WikitextOptions& options, const FieldPath&, const std::string& split) {
  const std::filesystem::path root = options.root, training = root / "wiki.train.tokens";
  const std::string text = read_file(training);
  TextSource source{.type = "wikitext",
                    .split = split,
                    .vocabulary = shared(Vocabulary::dictionary(text, training.string(), options.dictionary)),
                    .text = {}};
  if (split == "train") {
    source.text = source.vocabulary->encode(text, training.string());
  } else {
    const std::filesystem::path file = root / concat("wiki.", options.evaluate, ".tokens");
    source.text = source.vocabulary->encode(read_file(file), file.string());
  }
  return source;
}

TextSource write_prose(const ProseOptions& options, const FieldPath&, const std::string& split) {
  const ProseText prose = generate_prose(split == "train" ? options.train : options.test,
                                         static_cast<uint64_t>(options.seed), split);
  TextSource source{.type = "prose", .split = split, .vocabulary = shared(prose_vocabulary()), .text = {}};
  source.text = source.vocabulary->encode(prose.text, "prose");
  source.facts = {{"entropy_nats", Value::real(prose.nats)}};
  return source;
}

/// Blocks are as many as there are. Looked at where a section is read: evaluation asks for blocks of any.
void check_windows(const Value& section, const FieldPath& where) {
  const Value& samples = *section.find("samples");
  if (samples.is(Value::Type::Null) || section.find("windows")->as_string() == "random") return;
  config_error(
      where / "samples", samples.line(),
      concat("found ", samples.as_int(), ", but windows 'blocks' are as many as fit: expected null, ",
             "or \"windows\": \"random\""));
}

/// A data set of texts: `read` gives a split's.
template <class Options, class Read>
Entry text_entry(std::string name, std::string doc, Options defaults, Read read) {
  Entry entry = split_entry(
      std::move(name), std::move(doc), std::move(defaults),
      [read](const Options& options, const FieldPath& where, const std::string& split, uint64_t seed) {
        return std::make_unique<TextDataset>(read(options, where, split), options.text, where, seed);
      });
  entry.resolve = [resolve = entry.resolve](const Value& section, const FieldPath& where) {
    Value resolved = resolve(section, where);
    check_windows(resolved, where);
    return resolved;
  };
  return entry;
}

}  // namespace

std::vector<Entry> text_entries() {
  WikitextOptions blocks;
  blocks.text.windows = "blocks";
  std::vector<Entry> all;
  all.push_back(
      text_entry("text", "text files as bytes, characters or words", TextFileOptions{}, read_text_files));
  all.push_back(text_entry("wikitext", "WikiText-2 or -103 as words, with fairseq's dictionary", blocks,
                           read_wikitext));
  all.push_back(text_entry("prose", "generated sentences of an invented language, nothing to download",
                           ProseOptions{}, write_prose));
  return all;
}

}  // namespace lathe
