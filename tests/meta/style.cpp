// Sizes, names and words that the conventions forbid, counted over the whole tree.

#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include <doctest/doctest.h>

#include "core/error.h"
#include "tests/meta/source_tree.h"

namespace lathe::meta {
namespace {

constexpr size_t kSoftSource = 400, kSoftHeader = 200, kHardSource = 600, kHardHeader = 300;
constexpr size_t kColumns = 110, kFunction = 60;

// Files and functions ("path: function") beyond a hard limit, each with the reason.
const std::map<std::string, std::string>& allowed() {
  static const std::map<std::string, std::string> list{
      {"data/glyph_outlines.cpp: draw_all", "a table of control points, one row per line"},
      {"tests/core/safetensors.cpp: TEST_CASE", "a table of malformed files"},
  };
  return list;
}

Problems check_size(const SourceFile& file) {
  if (!file.is_code() || allowed().contains(file.path)) return {};
  const size_t limit = file.is_header() ? kHardHeader : kHardSource;
  if (file.lines.size() <= limit) return {};
  return {lathe::concat(file.path, ": ", file.lines.size(), " lines, the limit is ", limit)};
}

Problems check_columns(const SourceFile& file) {
  Problems problems;
  if (!file.is_code()) return problems;
  for (size_t i = 0; i < file.lines.size(); ++i) {
    // Continuation bytes of UTF-8 take no column.
    size_t width = 0;
    for (const char c : file.lines[i]) width += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
    if (width > kColumns) problems.push_back(at(file, i) + "longer than 110 columns");
    if (file.lines[i].find('\t') != std::string::npos) problems.push_back(at(file, i) + "a tab");
    if (file.lines[i].ends_with(' ')) problems.push_back(at(file, i) + "a space at the end");
  }
  return problems;
}

size_t indent_of(const std::string& line) {
  const size_t indent = line.find_first_not_of(' ');
  return indent == std::string::npos ? line.size() : indent;
}

// Relies on clang-format: a function's last line is a brace at the column its head began in.
Problems check_functions(const SourceFile& file) {
  Problems problems;
  if (!file.is_code()) return problems;
  static const std::regex no_function(
      R"(^ *(#|//|\}|(namespace|struct|class|enum|union|extern|public|private|protected)\b))"
      R"(|^ *(if|for|while|switch|return|throw|case|do|try)\b)");
  static const std::regex name_of(R"(([A-Za-z_~:0-9]+)\s*\()");
  for (const size_t indent : {size_t{0}, size_t{2}}) {
    size_t head = 0;
    for (size_t i = 0; i < file.lines.size(); ++i) {
      const std::string& line = file.lines[i];
      if (line.empty()) continue;
      if (indent_of(line) == indent) head = i;
      if (!line.ends_with("{") || line.ends_with("= {") || head + 12 < i) continue;
      const std::string& first = file.lines[head];
      if (first.ends_with(";")) continue;
      const bool continued = indent_of(line) >= indent + 4;
      if ((i != head && !continued) || indent_of(first) != indent || std::regex_search(first, no_function))
        continue;
      std::smatch name;
      std::string text;
      for (size_t j = head; j <= i; ++j) text += file.lines[j];
      if (!std::regex_search(text, name, name_of)) continue;
      size_t end = i + 1;
      while (end < file.lines.size() &&
             !(indent_of(file.lines[end]) == indent && file.lines[end][indent] == '}'))
        ++end;
      const size_t length = end - head + 1;
      if (length > kFunction && !allowed().contains(file.path + ": " + name[1].str()))
        problems.push_back(at(file, head) + lathe::concat(name[1].str(), " has ", length, " lines"));
      i = end;
    }
  }
  return problems;
}

Problems check_names(const SourceFile& file) {
  static const std::regex snake(R"(([a-z][a-z0-9_]*/)*[a-z][a-z0-9_]*\.(h|cpp|cu|cuh))");
  if (!file.is_code() || std::regex_match(file.path, snake)) return {};
  return {file.path + ": file and folder names are snake_case"};
}

enum class Scope {
  Anywhere,  // also in comments and documents
  Code,
  Library,  // code outside tools and tests
};

struct Forbidden {
  const char* pattern;
  const char* why;
  Scope scope;
};

// Where needed spelled in pieces, so that this file does not contain what it looks for.
constexpr Forbidden kForbidden[] = {
    {"pragma +omp.*reduction *[(]", "the order of an OpenMP reduction is not fixed", Scope::Code},
    {R"(\brandom_device\b)", "a seed from outside: randomness comes from named streams", Scope::Code},
    {R"(\b(mt19937|minstd_rand|default_random_engine)(_64)?\b)", "a generator with state", Scope::Code},
    {R"((^|[^\w.>])s?rand *\()", "a generator with state", Scope::Code},
    {R"(\btime *\( *(nullptr|NULL|0) *\))", "the time of day decides nothing", Scope::Code},
    {"(^|[^a-z_])/wo"
     "rk/",
     "a path of one machine", Scope::Anywhere},
    {"[.][.]/sha"
     "red",
     "a path of one machine", Scope::Anywhere},
    {"\\b(TO"
     "DO|FIX"
     "ME|XX"
     "X)\\b",
     "unfinished", Scope::Anywhere},
    // But the kernels of the CUDA twin share the words of lathe::cuda.
    {R"(\busing +namespace\b(?! lathe::cuda;))", "names are imported one by one", Scope::Library},
    {R"((^|[^\w.>])(exit|abort|quick_exit|_Exit) *\()", "the library never ends the process", Scope::Library},
    {R"(\bstd::(cout|cerr|clog)\b|(^|[^\w])(printf|fprintf|puts) *\()", "the library never prints",
     Scope::Library},
};

Problems check_words(const SourceFile& file) {
  Problems problems;
  const bool outside = file.folder() == "tools" || file.folder() == "tests";
  static const std::vector<std::regex> expressions = [] {
    std::vector<std::regex> compiled;
    for (const Forbidden& rule : kForbidden) compiled.emplace_back(rule.pattern);
    return compiled;
  }();
  for (size_t i = 0; i < file.lines.size(); ++i) {
    const std::string code = file.is_code() ? code_of(file.lines[i]) : "";
    for (size_t k = 0; k < expressions.size(); ++k) {
      const Forbidden& rule = kForbidden[k];
      if (rule.scope == Scope::Library && outside && !file.is_header()) continue;
      if (std::regex_search(rule.scope == Scope::Anywhere ? file.lines[i] : code, expressions[k]))
        problems.push_back(at(file, i) + rule.why);
    }
  }
  return problems;
}

Problems check_header(const SourceFile& file) {
  if (!file.is_header()) return {};
  for (const std::string& line : file.lines) {
    if (line.empty() || line.starts_with("//")) continue;
    if (line == "#pragma once") return {};
    break;
  }
  return {file.path + ": a header begins with #pragma once"};
}

// Folders with code that lack a README.md.
Problems folders_without_readme(const std::vector<SourceFile>& files) {
  std::set<std::string> with_code, with_readme;
  for (const SourceFile& file : files) {
    if (file.is_code()) with_code.insert(file.folder());
    if (file.path == file.folder() + "/README.md") with_readme.insert(file.folder());
  }
  Problems problems;
  for (const std::string& folder : with_code) {
    if (!with_readme.contains(folder)) problems.push_back(folder + "/ has no README.md");
  }
  return problems;
}

size_t count(Problems (*checker)(const SourceFile&), const std::string& path, const std::string& text) {
  return checker(make_file(path, text)).size();
}

std::string repeat(const std::string& line, size_t times) {
  std::string text;
  for (size_t i = 0; i < times; ++i) text += line;
  return text;
}

}  // namespace

TEST_SUITE_BEGIN("meta");

TEST_CASE("sizes of files, lines and functions") {
  check_tree(check_size);
  check_tree(check_columns);
  check_tree(check_functions);
  for (const SourceFile& file : source_tree()) {
    const size_t soft = file.is_header() ? kSoftHeader : kSoftSource;
    if (file.is_code() && file.lines.size() > soft)
      MESSAGE(file.path, ": ", file.lines.size(), " lines, beyond the soft limit of ", soft);
  }
}

TEST_CASE("the list of exceptions names files that are there") {
  for (const auto& [name, reason] : allowed()) {
    const std::string path = name.substr(0, name.find(':'));
    const auto& files = source_tree();
    CHECK(std::any_of(files.begin(), files.end(), [&](const SourceFile& file) { return file.path == path; }));
    CHECK_FALSE(reason.empty());
  }
}

TEST_CASE("names, words and header guards") {
  check_tree(check_names);
  check_tree(check_words);
  check_tree(check_header);
}

TEST_CASE("every folder with code has its README.md") {
  for (const std::string& problem : folders_without_readme(source_tree())) FAIL_CHECK(problem);
  CHECK(folders_without_readme({make_file("core/tensor.h", "")}).size() == 1);
  CHECK(folders_without_readme({make_file("core/tensor.h", ""), make_file("core/README.md", "")}).empty());
}

TEST_CASE("meta: planted sizes are caught") {
  CHECK(count(check_size, "core/a.cpp", repeat("x\n", 600)) == 0);
  CHECK(count(check_size, "core/a.cpp", repeat("x\n", 601)) == 1);
  CHECK(count(check_size, "core/a.h", repeat("x\n", 301)) == 1);
  CHECK(count(check_columns, "core/a.cpp", std::string(110, 'x')) == 0);
  CHECK(count(check_columns, "core/a.cpp", std::string(111, 'x')) == 1);
  CHECK(count(check_columns, "core/a.cpp", "x ") == 1);
  const std::string body = repeat("  x();\n", 58), too_long = repeat("  x();\n", 59);
  CHECK(count(check_functions, "core/a.cpp", "void f(int x) {\n" + body + "}\n") == 0);
  CHECK(count(check_functions, "core/a.cpp", "void f(int x) {\n" + too_long + "}\n") == 1);
  CHECK(count(check_functions, "core/a.cpp", "void f(int x,\n       int y) {\n" + body + "}\n") == 1);
  const std::string member = repeat("    x();\n", 59);
  CHECK(count(check_functions, "core/a.cpp", "class A {\n  void f() {\n" + member + "  }\n};\n") == 1);
  CHECK(count(check_functions, "core/a.cpp", "struct A {\n" + too_long + "};\n") == 0);
  CHECK(count(check_functions, "core/a.cpp", "  return f(x, [] {\n" + too_long + "  });\n") == 0);
  CHECK(count(check_functions, "core/a.cpp", "const T t[] = {\n" + too_long + "};\n") == 0);
}

TEST_CASE("meta: planted names and words are caught") {
  CHECK(count(check_names, "core/Tensor.h", "") == 1);
  CHECK(count(check_names, "core/my-file.cpp", "") == 1);
  CHECK(count(check_names, "core/cpu/my_file2.cpp", "") == 0);
  CHECK(count(check_header, "core/a.h", "// A.\nint x;\n") == 1);
  CHECK(count(check_header, "core/a.h", "// A.\n#pragma once\n") == 0);
  CHECK(count(check_words, "core/a.cpp", "#pragma omp parallel for reduction(+ : sum)") == 1);
  CHECK(count(check_words, "core/a.cpp", "std::random_device seed;") == 1);
  CHECK(count(check_words, "core/a.cpp", "std::mt19937 generator;") == 1);
  CHECK(count(check_words, "core/a.cpp", "int x = rand();") == 1);
  CHECK(count(check_words, "core/a.cpp", "int x = std::rand();") == 1);
  CHECK(count(check_words, "core/a.cpp", "seed = time(nullptr);") == 1);
  CHECK(count(check_words, "tests/a.cpp",
              "open(\"/wo"
              "rk/x\");") == 1);
  CHECK(count(check_words, "README.md",
              "see ../sha"
              "red/x") == 1);
  CHECK(count(check_words, "core/a.cpp",
              "// TO"
              "DO: later") == 1);
  CHECK(count(check_words, "core/a.cpp",
              "// FIX"
              "ME") == 1);
  CHECK(count(check_words, "core/a.h", "using namespace std;") == 1);
  CHECK(count(check_words, "core/a.cpp", "std::cout << 1;") == 1);
  CHECK(count(check_words, "tools/a.cpp", "std::cout << 1;") == 0);
  CHECK(count(check_words, "core/a.cpp", "exit(1);") == 1);
  CHECK(count(check_words, "core/a.cpp", "// rand() and std::cout are only named here") == 0);
  CHECK(count(check_words, "core/a.cpp", "LATHE_THROW(E, \"rand() \", x);") == 0);
}

TEST_SUITE_END();

}  // namespace lathe::meta
