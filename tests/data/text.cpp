// Texts: vocabularies, windows, blocks.

#include "data/text.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/json.h"
#include "data/inspect.h"
#include "data/prose.h"
#include "tests/support/golden.h"
#include "tests/support/scratch.h"

using namespace lathe;

TEST_SUITE_BEGIN("data");

namespace {

// What a DataError says.
template <class Do>
std::string refusal(Do act) {
  try {
    act();
  } catch (const DataError& error) {
    return error.what();
  }
  return "nothing was refused";
}

bool says(const std::string& message, std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    if (message.find(part) == std::string::npos) return false;
  }
  return true;
}

// A stream of tokens 0 ... n - 1, with or without "</s>".
TextDataset stream(int64_t n, TextOptions options, const std::string& split, bool line_end = false) {
  std::vector<std::string> words;
  for (int64_t i = 0; i < n; ++i) words.push_back(concat("w", i));
  if (line_end) words.push_back("</s>");
  TextSource source{.type = "text",
                    .split = split,
                    .vocabulary = std::make_shared<const Vocabulary>(Vocabulary::words(words, "test")),
                    .text = {}};
  source.text.ids.resize(static_cast<size_t>(n));
  std::iota(source.text.ids.begin(), source.text.ids.end(), 0);
  return TextDataset(std::move(source), options, {"", "data"}, 7);
}

TextOptions blocks_of(int64_t context, int64_t context_window = 0) {
  TextOptions options;
  options.context = context;
  options.context_window = context_window;
  return options;
}

std::vector<int64_t> row(const Tensor& tensor, int64_t slot = 0) {
  const int64_t* first = tensor.ptr<int64_t>() + slot * tensor.dim(1);
  return {first, first + tensor.dim(1)};
}

std::unique_ptr<Dataset> open(const std::string& section, const std::string& split) {
  return split_registry().build(parse_json(section, "test"), {"", "data"}, split, 7);
}

}  // namespace

TEST_CASE("vocabularies of bytes, characters and words go there and back") {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80 b\n";
  const Vocabulary characters = Vocabulary::characters(text, "t");
  CHECK(characters.size() == 7);
  CHECK(characters.find("\n") == 0);
  CHECK(characters.find("\xF0\x9F\x98\x80") == 6);  // by code point
  CHECK(characters.decode(characters.encode(text, "t").ids) == text);
  const Vocabulary bytes = Vocabulary::bytes();
  CHECK(bytes.encode("\xFFz", "t").ids == std::vector<int32_t>{255, 122});
  CHECK(bytes.decode({255, 122}) == "\xFFz");
  const Vocabulary words = Vocabulary::words({"</s>", "<unk>", "be", "to"}, "t");
  const EncodedText encoded = words.encode("to be  or\n\nnot to\tbe", "t");
  CHECK(encoded.ids == std::vector<int32_t>{3, 2, 1, 0, 0, 1, 3, 2, 0});
  CHECK(encoded.unknown == std::vector<int64_t>{2, 5});
  CHECK(words.decode(encoded.ids) == "to be <unk>\n\n<unk> to be\n");
  for (const Vocabulary* one : {&characters, &bytes, &words}) {
    const Value value = parse_json(to_json(one->to_value()), "json");
    CHECK(Vocabulary::from_value(value, "file").to_value() == one->to_value());
  }
  CHECK_THROWS_AS(Vocabulary::from_value(Value::object({{"unit", Value::string("syllables")}}), "f"),
                  FormatError);
  CHECK_THROWS_AS(Vocabulary::from_value(parse_json(R"({"unit": "characters", "tokens": "aa"})", "f"), "f"),
                  FormatError);
  CHECK_THROWS_AS(Vocabulary::from_value(parse_json(R"({"unit": "words", "tokens": "a\nb\na"})", "f"), "f"),
                  FormatError);
}

TEST_CASE("what is no text, and what is no token, is named with its place") {
  for (const char* bad : {"ab\xC0\xAFz", "a\xE2\x82", "\xED\xA0\x80", "\xF5\x80\x80\x80", "x\x80"}) {
    CAPTURE(bad);
    CHECK(says(refusal([&] { Vocabulary::characters(std::string("one\n") + bad, "file.txt"); }),
               {"file.txt: line 2, byte ", "is not UTF-8"}));
  }
  const Vocabulary characters = Vocabulary::characters("abc", "t");
  CHECK(says(refusal([&] { characters.encode("ab\xC3\xA9", "f"); }),
             {"f: line 1, byte 2", "\xC3\xA9", "vocabulary's 3"}));
  const Vocabulary words = Vocabulary::words({"alpha", "beta"}, "t");
  CHECK(says(refusal([&] { words.encode("beta\nalpah", "f"); }),
             {"f: line 2", "'alpah'", "no <unk>", "'alpha'"}));
  CHECK(says(refusal([] {
               Vocabulary::words({"a", "b", "a"}, "v.txt");
             }),
             {"v.txt: line 3", "'a'", "line 1"}));
  CHECK(says(refusal([] { Vocabulary::words({"a b"}, "v.txt"); }), {"v.txt: line 1", "white space"}));
  CHECK(says(refusal([] { Vocabulary::words({"a", ""}, "v.txt"); }), {"v.txt: line 2", "empty"}));
}

TEST_CASE("a dictionary is in fairseq's order") {
  const Vocabulary v =
      Vocabulary::dictionary("b a b <unk> c\na b </s>\nd\n", "t", {.threshold = 1, .multiple = 8});
  CHECK(v.to_value().find("tokens")->as_string() == "<s>\n<pad>\n</s>\n<unk>\nb\na\nc\nd");
  CHECK(v.padding() == 1);
  CHECK(v.line_end() == 2);
  const Vocabulary rare = Vocabulary::dictionary("b a b c\na b d\n", "t", {.threshold = 2, .multiple = 8});
  CHECK(rare.to_value().find("tokens")->as_string() ==
        "<s>\n<pad>\n</s>\n<unk>\nb\na\nmadeupword0000\nmadeupword0001");
  CHECK(rare.encode("a d", "t").ids == std::vector<int32_t>{5, 3, 2});
  const Vocabulary filled = Vocabulary::dictionary("madeupword0001 a a madeupword0001 madeupword0000\n", "t",
                                                   {.threshold = 2, .multiple = 8});
  CHECK(filled.to_value().find("tokens")->as_string() ==
        "<s>\n<pad>\n</s>\n<unk>\na\nmadeupword0001\nmadeupword0002\nmadeupword0003");
  CHECK(filled.encode("madeupword0000", "t").ids == std::vector<int32_t>{3, 2});
  CHECK(Vocabulary::from_value(filled.to_value(), "t").size() == 8);
}

TEST_CASE("a random window is a function of seed, epoch and index, and blocks cover the stream once") {
  TextOptions options = blocks_of(8);
  options.samples = 50;
  const TextDataset data = stream(100, options, "train");
  CHECK(data.size() == 50);
  Batch a = data.allocate(2), b = data.allocate(2);
  std::vector<int64_t> starts;
  for (int64_t i = 0; i < 50; ++i) {
    data.load(i, 3, a, 0);
    data.load(i, 3, b, 1);
    CHECK(row(a.inputs[0]) == row(b.inputs[0], 1));
    CHECK(row(a.targets[0])[7] == row(a.inputs[0])[7] + 1);
    starts.push_back(row(a.inputs[0])[0]);
  }
  CHECK(*std::max_element(starts.begin(), starts.end()) > 80);
  CHECK(*std::min_element(starts.begin(), starts.end()) < 12);
  data.load(0, 3, a, 0);
  data.load(0, 4, a, 1);
  CHECK(row(a.inputs[0]) != row(a.inputs[0], 1));
  for (const bool line_end : {false, true}) {
    const TextDataset test = stream(100, blocks_of(8), "test", line_end);
    std::vector<int64_t> scored;
    for (int64_t i = 0; i < test.size(); ++i) {
      test.load(i, 0, a, 0);
      for (const int64_t target : row(a.targets[0])) {
        if (target != kUnscored) scored.push_back(target);
      }
    }
    std::vector<int64_t> all(line_end ? 100 : 99);
    std::iota(all.begin(), all.end(), line_end ? 0 : 1);
    CHECK(scored == all);
    test.load(0, 0, a, 0);
    CHECK(row(a.inputs[0])[0] == (line_end ? 100 : 0));
  }
}

TEST_CASE("evaluation's blocks are those of the reference protocols") {
  const auto folder = tests::golden_folder("metrics");
  if (!folder) return;
  const Value file = parse_json(read_text(*folder / "metrics_energy_cost_eval.json"), "metrics");
  const Value& results = *file.find("eval")->find("perplexity_toy")->find("results");
  struct Case {
    const char* name;
    int64_t block, context;
  };
  for (const Case& one :
       {Case{"B64_C0", 64, 0}, {"B64_C48", 64, 48}, {"B64_C63", 64, 63}, {"B128_C96", 128, 96}}) {
    CAPTURE(one.name);
    const TextDataset data = stream(1000, blocks_of(one.block, one.context), "test", true);
    Batch batch = data.allocate(1);
    double sum = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < data.size(); ++i) {
      data.load(i, 0, batch, 0);
      const std::vector<int64_t> in = row(batch.inputs[0]), out = row(batch.targets[0]);
      int64_t seen = 0;
      for (size_t t = 0; t < out.size(); ++t) {
        seen += in[t] != 1000;  // "</s>" is no token of the stream
        if (out[t] == kUnscored) continue;
        CHECK((in[t] == out[t] - 1 || (out[t] == 0 && in[t] == 1000)));
        sum += 0.5 + 0.01 * static_cast<double>(out[t] % 7) + 3 / (1 + static_cast<double>(seen));
        ++count;
      }
    }
    const Value& reference = *results.find(one.name);
    CHECK(count == reference.find("count")->as_int());
    CHECK(sum == doctest::Approx(reference.find("sum_nll")->as_real()).epsilon(1e-12));
  }
}

TEST_CASE("blocks of whole lines hold whole lines") {
  TextSource source{.type = "text",
                    .split = "test",
                    .vocabulary = std::make_shared<const Vocabulary>(Vocabulary::words({"</s>", "a"}, "t")),
                    .text = {}};
  source.text = source.vocabulary->encode("a a\na\na a a\n\na a a a a a a a a a a a a a\na\n", "t");
  TextOptions options = blocks_of(10, 4);
  options.line_break = "lines";
  const TextDataset data(std::move(source), options, {"", "data"}, 1);
  std::vector<int64_t> scored, length;
  Batch batch = data.allocate(1);
  for (int64_t i = 0; i < data.size(); ++i) {
    data.load(i, 0, batch, 0);
    const std::vector<int64_t> out = row(batch.targets[0]);
    scored.push_back(std::count_if(out.begin(), out.end(), [](int64_t t) { return t != kUnscored; }));
  }
  // 3 + 2 tokens fit in 6, then 4 + 1; a line of 15 is cut at the window's 10.
  CHECK(scored == std::vector<int64_t>{5, 5, 10, 5, 2});
}

TEST_CASE("texts from files: splits, limits, checks") {
  const tests::ScratchFolder folder;
  std::string text;
  for (int i = 0; i < 400; ++i) text += i % 7 == 6 ? "be\n" : "to ";
  write_atomic(folder / "input.txt", text);
  const std::string root = R"("root": ")" + folder.path().string() + R"(", "context": 16)";
  const auto train = open(R"({"type": "text", )" + root + "}", "train");
  const auto test = open(R"({"type": "text", )" + root + "}", "test");
  CHECK(train->info().task == DataTask::Language);
  CHECK(train->info().classes == 6);
  CHECK(train->info().tokenizer == test->info().tokenizer);
  CHECK(train->info().content_hash != test->info().content_hash);
  const auto limited = open(R"({"type": "text", "limit": 3, )" + root + "}", "train");
  CHECK(limited->size() == 3);
  CHECK(says(refusal([&] { open(R"({"type": "text", "test_file": "none.txt", )" + root + "}", "test"); }),
             {"none.txt", "no such file"}));
  write_atomic(folder / "tiny.txt", "to be");
  CHECK(says(refusal([&] {
               open(R"({"type": "text", "file": "tiny.txt", "test_file": "tiny.txt", )" + root + "}",
                    "train");
             }),
             {"5 tokens", "window of 16"}));
  CHECK_THROWS_AS(open(R"({"type": "text", "context_window": 16, )" + root + "}", "test"), ConfigError);
  CHECK_THROWS_AS(open(R"({"type": "text", "break": "lines", )" + root + "}", "test"), ConfigError);
  CHECK_THROWS_AS(open(R"({"type": "text", "tokens": "words", )" + root + "}", "test"), ConfigError);
  write_atomic(folder / "words.txt", "</s>\n<unk>\nto\n");
  const std::string words = R"({"type": "text", "tokens": "words", "vocabulary": "words.txt", )" + root;
  int64_t unknown = 0, tokens = 0;
  for (const char* split : {"train", "test"}) {
    const Value about = open(words + "}", split)->describe();
    unknown += about.find("unknown")->as_int();
    tokens += about.find("tokens")->as_int();
    if (std::string(split) == "test") CHECK(about.find("unknown")->as_int() < 10);
  }
  CHECK(tokens == 400 + 58);  // and line ends
  CHECK(unknown == 57);
  const Value section = parse_json(R"({"type": "text", )" + root + "}", "t");
  CHECK(check_data(section, {"", "data"}).errors.empty());
  CHECK(describe_data(section, {"", "data"}).find("test")->find("unit")->as_string() == "characters");
}

TEST_CASE("a number of windows is for random ones") {
  const auto resolve = [](const std::string& options) {
    return split_registry().resolve(parse_json(options, "test"), {"", "data"});
  };
  const std::string random = R"({"type": "prose", "samples": 9, "windows": "random"})";
  CHECK(resolve(random).find("samples")->as_int() == 9);
  const std::string expected =
      "data.samples: found 9, but windows 'blocks' are as many as fit: expected null, or \"windows\": "
      "\"random\"";
  for (const char* blocks :
       {R"({"type": "prose", "samples": 9, "windows": "blocks"})", R"({"type": "wikitext", "samples": 9})"})
    CHECK_THROWS_WITH_AS(resolve(blocks), expected.c_str(), ConfigError);
}

TEST_CASE("generated prose is the same everywhere, and its entropy is far below its characters'") {
  const ProseText prose = generate_prose(20000, 1, "train");
  CHECK(prose.text.size() == 20000);
  CHECK(prose.text == generate_prose(30000, 1, "train").text.substr(0, 20000));
  CHECK(prose.text != generate_prose(20000, 2, "train").text);
  CHECK(prose.text != generate_prose(20000, 1, "test").text);
  CHECK(hash_hex(prose.text) == "c72db478d9d39e22");
  CHECK(prose.nats == doctest::Approx(0.5).epsilon(0.5));
  const auto train = open(R"({"type": "prose", "train": 20000, "test": 5000, "context": 64})", "train");
  const Value about = train->describe();
  CHECK(about.find("unigram_nats")->as_real() > 3 * about.find("entropy_nats")->as_real());
}

TEST_CASE("WikiText-2 has the tokens and the words that it is said to have") {
  const char* root = std::getenv("LATHE_DATA");
  if (root == nullptr || !std::filesystem::exists(std::filesystem::path(root) / "wikitext2")) {
    MESSAGE("skipped: LATHE_DATA names no folder with wikitext2");
    return;
  }
  const std::string section =
      R"({"type": "wikitext", "root": ")" + (std::filesystem::path(root) / "wikitext2").string() + R"(")";
  const auto test = open(section + "}", "test");
  CHECK(test->info().classes == 33280);
  CHECK(test->describe().find("tokens")->as_int() == 245569);
  CHECK(open(section + R"(, "evaluate": "valid"})", "test")->describe().find("tokens")->as_int() == 217646);
}

TEST_SUITE_END();
