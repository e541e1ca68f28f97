// Who may include whom: the arrows between folders, and where third-party headers may stand.

#include <map>
#include <regex>
#include <set>

#include <doctest/doctest.h>

#include "tests/meta/source_tree.h"

namespace lathe::meta {
namespace {

using Folders = std::set<std::string>;

// A folder may include itself and these.
const std::map<std::string, Folders>& arrows() {
  static const Folders library{"core", "autograd", "layers", "quant", "models", "data", "train"};
  static const Folders everything{"core", "autograd", "layers", "quant", "models",
                                  "data", "train",    "tools",  "cuda",  "tests"};
  static const std::map<std::string, Folders> table{
      {"core", {}},
      {"cuda", {"core", "quant"}},
      {"autograd", {"core"}},
      {"layers", {"autograd", "core"}},
      {"quant", {"layers", "autograd", "core"}},
      {"models", {"layers", "autograd", "core"}},
      {"data", {"core"}},
      {"train", {"core", "autograd", "layers", "quant", "models", "data"}},
      {"tools", library},
      {"tests", everything},
  };
  return table;
}

struct ThirdParty {
  const char* header;  // regular expressions over the whole header name and the whole path
  const char* path;
};

// The only places where a header that is neither ours nor the standard library's may be included. No header
// of ours shows one, but for those of tools and tests, and core/simd.h with its intrinsics.
constexpr ThirdParty kThirdParty[] = {
    {R"((imm|x86|emm|xmm)intrin\.h|arm_neon\.h)", R"(core/simd\.h|core/cpu/.*)"},
    {R"(nlohmann/.*)", R"((core/[^/]*|train/.*)\.cpp)"},
    {R"(zlib\.h|stb/.*|sndfile\.h)", R"(data/.*\.cpp)"},
    {R"(zlib\.h)", R"(tests/data/.*\.cpp)"},  // makes gzip files to damage
    {R"(xxhash\.h)", R"(core/hash\.cpp)"},
    {R"(zstd\.h)", R"((train|quant)/.*\.cpp)"},
    {R"((CLI|fmt)/.*)", R"(tools/.*)"},
    {R"(doctest/.*)", R"(tests/.*)"},
    {R"(dnnl\.hpp)", R"(tools/peers/.*\.cpp)"},  // a yardstick, no part of the product
    {R"(lathe/lathe\.h)", R"(tests/consumer/main\.cpp)"},  // as installed
    {R"(cuda_.*)", R"((cuda|tests/cuda_emulator)/.*)"},
    {R"(dnnl\.hpp)", R"(tools/peers/.*)"},  // a peer that is measured, no part of the build
    {R"(cublasLt\.h|cudnn\.h)", R"(cuda/vendor/.*\.cpp)"},  // the toolkit's libraries stand behind our seams
    {R"(math\.h)", R"(tests/cuda_emulator/include/.*)"},
    {R"(ucontext\.h|sanitizer/.*)", R"(tests/cuda_emulator/.*)"},
    // The operating system's.
    {R"((unistd|fcntl|signal|spawn|poll|dlfcn|sched|sys/[a-z]+)\.h)",
     R"((core|data|train|tools|tests)/.*\.cpp)"},
    {R"((signal|spawn)\.h)", R"(tools/.*\.cpp)"},
    {R"(sys/[a-z]+\.h|unistd\.h)", R"(tests/support/.*\.h)"},
    // For device code, which needs the functions of the global namespace.
    {R"(math\.h)", R"(core/vector_math\.h|quant/math/scalar\.h)"},
};

bool whole(const std::string& text, const char* expression) {
  return std::regex_match(text, std::regex(expression));
}

bool third_party_allowed(const std::string& header, const std::string& path) {
  const bool test = whole(path, R"(tests/.*\.cpp)");  // may use whatever the library uses
  for (const ThirdParty& rule : kThirdParty) {
    if (whole(header, rule.header) && (test || whole(path, rule.path))) return true;
  }
  return false;
}

std::string own_problem(const SourceFile& file, const std::string& header) {
  const std::string target = make_file(header, "").folder();
  if (!arrows().contains(target)) return "\"" + header + "\" is not spelled from the root";
  const std::string from = file.folder();
  if (from.empty() || !arrows().contains(from)) return "code in an unknown folder";
  if (header.ends_with(".cpp") || header.ends_with(".cu")) return "includes the source file " + header;
  if (target != from && !arrows().at(from).contains(target)) return from + " may not include " + target;
  if (from == "cuda" && target == "quant" && !header.starts_with("quant/math/") &&
      header != "quant/kernels.h")
    return "cuda may include only quant/math and quant/kernels.h";
  // The inside of the CPU kernels; which instruction set runs is public, and benchmarks measure the machine's
  // limit.
  if (header.starts_with("core/cpu/") && header != "core/cpu/isa.h" &&
      !(header == "core/cpu/machine_limits.h" && file.path.starts_with("tools/bench/")) &&
      !file.path.starts_with("core/cpu/") && !file.path.starts_with("quant/cpu/") && from != "tests")
    return header + " is internal to the kernels";
  return "";
}

Problems check_includes(const SourceFile& file) {
  Problems problems;
  if (!file.is_code()) return problems;
  static const std::regex include(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"])re");
  for (size_t i = 0; i < file.lines.size(); ++i) {
    std::smatch match;
    if (!std::regex_search(file.lines[i], match, include)) continue;
    const std::string header = match[2];
    if (match[1] == "\"") {
      const std::string problem = own_problem(file, header);
      if (!problem.empty()) problems.push_back(at(file, i) + problem);
    } else if (header.find_first_of("./") != std::string::npos && !third_party_allowed(header, file.path)) {
      problems.push_back(at(file, i) + "<" + header + "> may not stand here");
    }
  }
  return problems;
}

// Threads and intrinsics stay behind the kernels.
Problems check_machine_code(const SourceFile& file) {
  Problems problems;
  if (!file.is_code()) return problems;
  static const std::regex pragma(R"(^\s*#\s*pragma\s+omp)"), intrinsic(R"(\b_mm\d*_\w+\s*\()");
  for (size_t i = 0; i < file.lines.size(); ++i) {
    const std::string code = code_of(file.lines[i]);
    if (std::regex_search(code, pragma))
      problems.push_back(at(file, i) + "OpenMP: loops go through parallel_for");
    if (std::regex_search(code, intrinsic) && !whole(file.path, R"(core/simd\.h|core/cpu/.*)"))
      problems.push_back(at(file, i) + "an intrinsic outside core/simd.h and core/cpu");
  }
  return problems;
}

// Code compiled per instruction set may hold no inline function of the standard library: the linker keeps one
// copy of such a function, perhaps one that the machine cannot run.
Problems check_isa_files(const SourceFile& file) {
  Problems problems;
  if (!file.path.starts_with("core/cpu/isa/") && !file.path.starts_with("quant/cpu/isa/")) return problems;
  static const std::regex include(R"(^\s*#\s*include\s*<([^>]+)>)");
  for (size_t i = 0; i < file.lines.size(); ++i) {
    std::smatch match;
    if (std::regex_search(file.lines[i], match, include) &&
        !whole(match[1], R"(cstdint|cstddef|immintrin\.h)"))
      problems.push_back(at(file, i) + "<" + match[1].str() + "> in code compiled per instruction set");
  }
  return problems;
}

using Graph = std::map<std::string, std::set<std::string>>;

Graph include_graph(const std::vector<SourceFile>& files) {
  static const std::regex include(R"re(^\s*#\s*include\s*"([^"]+)")re");
  Graph graph;
  for (const SourceFile& file : files) {
    if (!file.is_code()) continue;
    std::set<std::string>& targets = graph[file.path];
    for (const std::string& line : file.lines) {
      std::smatch match;
      if (std::regex_search(line, match, include)) targets.insert(match[1]);
    }
  }
  return graph;
}

// A file that reaches itself, or an include of a file that is not there; empty if there is none.
std::string graph_problem(const Graph& graph) {
  for (const auto& [start, targets] : graph) {
    std::vector<std::string> open(targets.begin(), targets.end());
    std::set<std::string> seen;
    while (!open.empty()) {
      const std::string next = open.back();
      open.pop_back();
      if (next == start) return start + " includes itself by way of others";
      const auto it = graph.find(next);
      if (it == graph.end()) return start + " leads to \"" + next + "\", which does not exist";
      if (seen.insert(next).second) open.insert(open.end(), it->second.begin(), it->second.end());
    }
  }
  return "";
}

size_t count(Problems (*checker)(const SourceFile&), const std::string& path, const std::string& text) {
  return checker(make_file(path, text)).size();
}

}  // namespace

TEST_SUITE_BEGIN("layering");

TEST_CASE("includes follow the arrows") {
  check_tree(check_includes);
  check_tree(check_machine_code);
  check_tree(check_isa_files);
  CHECK(graph_problem(include_graph(source_tree())) == "");
}

TEST_CASE("layering: a planted arrow against the order is caught") {
  const std::string quote = "#include \"";
  CHECK(count(check_includes, "core/tensor.h", quote + "autograd/var.h\"") == 1);
  CHECK(count(check_includes, "autograd/tape.cpp", quote + "layers/module.h\"") == 1);
  CHECK(count(check_includes, "models/resnet.cpp", quote + "quant/lsq.h\"") == 1);
  CHECK(count(check_includes, "models/resnet.cpp", quote + "train/trainer.h\"") == 1);
  CHECK(count(check_includes, "data/loader.cpp", quote + "autograd/var.h\"") == 1);
  CHECK(count(check_includes, "train/trainer.cpp", quote + "tools/output.h\"") == 1);
  CHECK(count(check_includes, "train/trainer.cpp", quote + "cuda/conv.h\"") == 1);
  CHECK(count(check_includes, "cuda/lsq.cu", quote + "quant/lsq.h\"") == 1);
  CHECK(count(check_includes, "train/trainer.cpp", quote + "tests/support/scratch.h\"") == 1);
  CHECK(count(check_includes, "layers/conv.cpp", quote + "core/cpu/conv_plan.h\"") == 1);
  CHECK(count(check_includes, "core/tensor.cpp", quote + "tensor.h\"") == 1);
  CHECK(count(check_includes, "core/tensor.cpp", quote + "../core/tensor.h\"") == 1);
  CHECK(count(check_includes, "core/tensor.cpp", quote + "core/shape.cpp\"") == 1);
  CHECK(count(check_includes, "autograd/tape.cpp",
              quote + "core/tensor.h\"\n" + quote + "autograd/var.h\"") == 0);
  CHECK(count(check_includes, "cuda/lsq.cu", quote + "quant/math/lsq.h\"") == 0);
  CHECK(count(check_includes, "tests/laws/x.cpp", quote + "train/trainer.h\"") == 0);
}

TEST_CASE("layering: a third-party header out of its place is caught") {
  CHECK(count(check_includes, "core/cpu/parallel.cpp", "#include <sched.h>") == 0);
  CHECK(count(check_includes, "core/cpu/gemm.h", "#include <omp.h>") == 1);
  CHECK(count(check_includes, "layers/linear.cpp", "#  include <omp.h>") == 1);
  CHECK(count(check_includes, "core/json.h", "#include <nlohmann/json.hpp>") == 1);
  CHECK(count(check_includes, "core/json.cpp", "#include <nlohmann/json.hpp>") == 0);
  CHECK(count(check_includes, "train/trainer.cpp", "#include <fmt/format.h>") == 1);
  CHECK(count(check_includes, "data/source.cpp", "#include <zlib.h>\n#include <vector>") == 0);
  CHECK(count(check_includes, "data/source.h", "#include <zlib.h>") == 1);
  CHECK(count(check_includes, "autograd/tape.cpp", "#include <omp.h>") == 1);
  CHECK(count(check_includes, "core/tensor.h", "#include <immintrin.h>") == 1);
  CHECK(count(check_includes, "train/x.cpp", "#include <boost/json.hpp>") == 1);
  CHECK(count(check_includes, "core/tensor.cpp", "#include <cuda_runtime.h>") == 1);
}

TEST_CASE("layering: OpenMP, and intrinsics outside the kernels, are caught") {
  CHECK(count(check_machine_code, "train/x.cpp", "#pragma omp parallel for") == 1);
  CHECK(count(check_machine_code, "core/cpu/x.cpp", "#pragma omp parallel for") == 1);
  CHECK(count(check_machine_code, "autograd/x.cpp", "y = _mm256_add_ps(a, b);") == 1);
  CHECK(count(check_machine_code, "core/cpu/isa/x.cpp", "y = _mm256_add_ps(a, b);") == 0);
  CHECK(count(check_isa_files, "core/cpu/isa/x.cpp", "#include <cstdint>\n#include <vector>") == 1);
  CHECK(count(check_isa_files, "core/cpu/gemm.cpp", "#include <vector>") == 0);
}

TEST_CASE("layering: a circle of includes and a missing file are caught") {
  const SourceFile a = make_file("core/a.h", "#include \"core/b.h\""), b = make_file("core/b.h", ""),
                   back = make_file("core/b.h", "#include \"core/a.h\"");
  CHECK(graph_problem(include_graph({a, b})) == "");
  CHECK(graph_problem(include_graph({a, back})) != "");
  CHECK(graph_problem(include_graph({a})) != "");
}

TEST_SUITE_END();

}  // namespace lathe::meta
