// tests/suites.txt lists every doctest suite: a suite that is not in the list is never run by ctest.

#include <map>
#include <regex>
#include <set>

#include <doctest/doctest.h>

#include "tests/meta/source_tree.h"

namespace lathe::meta {
namespace {

std::set<std::string> suites_in(const std::vector<SourceFile>& files) {
  static const std::regex begin(R"re(^TEST_SUITE(?:_BEGIN)?\("([^"]+)"\))re");
  std::set<std::string> suites;
  for (const SourceFile& file : files) {
    if (file.folder() != "tests" || !file.is_code()) continue;
    for (const std::string& line : file.lines) {
      std::smatch match;
      if (std::regex_search(line, match, begin)) suites.insert(match[1]);
    }
  }
  return suites;
}

// TEST_CASEs outside any suite run under no ctest entry either.
Problems cases_without_suite(const SourceFile& file) {
  Problems problems;
  if (file.folder() != "tests" || !file.is_code()) return problems;
  bool inside = false;
  for (size_t i = 0; i < file.lines.size(); ++i) {
    const std::string& line = file.lines[i];
    if (line.starts_with("TEST_SUITE_BEGIN(") || line.starts_with("TEST_SUITE(")) inside = true;
    if (line.starts_with("TEST_SUITE_END(")) inside = false;
    if (!inside && line.starts_with("TEST_CASE"))
      problems.push_back(at(file, i) + "a test outside any suite");
  }
  return problems;
}

struct Listed {
  std::set<std::string> suites;
  Problems problems;
};

Listed read_list(const SourceFile& file) {
  static const std::regex entry(R"((fast|slow|gpu) +(.+))");
  Listed listed;
  for (size_t i = 0; i < file.lines.size(); ++i) {
    const std::string& line = file.lines[i];
    if (line.empty() || line.starts_with('#')) continue;
    std::smatch match;
    if (!std::regex_match(line, match, entry)) {
      listed.problems.push_back(at(file, i) + "expected `fast SUITE` or `slow SUITE`");
    } else if (!listed.suites.insert(match[2]).second) {
      listed.problems.push_back(at(file, i) + "listed twice");
    }
  }
  return listed;
}

}  // namespace

TEST_SUITE_BEGIN("meta");

TEST_CASE("suites.txt lists exactly the suites there are") {
  Listed listed;
  for (const SourceFile& file : source_tree()) {
    if (file.path == "tests/suites.txt") listed = read_list(file);
  }
  for (const std::string& problem : listed.problems) FAIL_CHECK(problem);
  const std::set<std::string> there = suites_in(source_tree());
  CHECK(there.size() >= 5);
  for (const std::string& suite : there)
    CHECK_MESSAGE(listed.suites.contains(suite), "suites.txt lacks ", suite);
  for (const std::string& suite : listed.suites) CHECK_MESSAGE(there.contains(suite), "no suite ", suite);
  check_tree(cases_without_suite);
}

TEST_CASE("meta: a suite or a test out of the list is caught") {
  const SourceFile test = make_file("tests/a.cpp", "TEST_SUITE_BEGIN(\"planted\");\nTEST_SUITE_END();\n");
  CHECK(suites_in({test}).contains("planted"));
  CHECK(read_list(make_file("tests/suites.txt", "# x\nfast core\nslow core\nquick x\n")).problems.size() ==
        2);
  CHECK(cases_without_suite(make_file("tests/a.cpp", "TEST_CASE(\"x\") {\n")).size() == 1);
}

TEST_SUITE_END();

}  // namespace lathe::meta
