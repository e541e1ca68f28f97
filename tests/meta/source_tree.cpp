#include "tests/meta/source_tree.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"

namespace lathe::meta {
namespace {

namespace fs = std::filesystem;

bool is_text(const fs::path& path) {
  static const std::set<std::string> extensions{".h",  ".cpp", ".cu",   ".cuh", ".md", ".txt",
                                                ".in", ".py",  ".json", ".sh",  "",    ".cmake"};
  return extensions.contains(path.extension().string());
}

void collect(const fs::path& root, const fs::path& folder, std::vector<SourceFile>& files) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.') || name == "build" || name == "runs" || name == "__pycache__") continue;
    if (entry.is_directory()) {
      collect(root, entry.path(), files);
    } else if (entry.is_regular_file() && is_text(entry.path())) {
      files.push_back(make_file(fs::relative(entry.path(), root).string(), read_text(entry.path())));
    }
  }
}

}  // namespace

std::string SourceFile::folder() const {
  const size_t slash = path.find('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}
std::string SourceFile::extension() const {
  return fs::path(path).extension().string();
}
bool SourceFile::is_header() const {
  return extension() == ".h" || extension() == ".cuh";
}
bool SourceFile::is_code() const {
  return is_header() || extension() == ".cpp" || extension() == ".cu";
}

SourceFile make_file(std::string path, const std::string& text) {
  SourceFile file{std::move(path), {}};
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    file.lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return file;
}

const std::vector<SourceFile>& source_tree() {
  static const std::vector<SourceFile> tree = [] {
    std::vector<SourceFile> files;
    collect(LATHE_SOURCE_DIR, LATHE_SOURCE_DIR, files);
    std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
    return files;
  }();
  return tree;
}

std::string at(const SourceFile& file, size_t line_index) {
  return lathe::concat(file.path, ":", line_index + 1, ": ");
}

void check_tree(Problems (*checker)(const SourceFile& file)) {
  CHECK(source_tree().size() > 50);
  for (const SourceFile& file : source_tree()) {
    for (const std::string& problem : checker(file)) FAIL_CHECK(problem);
  }
}

std::string code_of(const std::string& line) {
  std::string code;
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0) {
      if (c == '\\') {
        ++i;
      } else if (c == quote) {
        quote = 0;
      }
      continue;
    }
    if (c == '/' && i + 1 < line.size() && line[i + 1] == '/') break;
    const bool digit_separator = c == '\'' && i > 0 && std::isalnum(static_cast<unsigned char>(line[i - 1]));
    if (c == '"' || (c == '\'' && !digit_separator)) {
      quote = c;
      continue;
    }
    code.push_back(c);
  }
  return code;
}

}  // namespace lathe::meta
