// Analytic against numeric gradients of every op case, and proof that the check catches wrong rules.

#include <regex>
#include <set>

#include <doctest/doctest.h>

#include "autograd/gradcheck_ops.h"
#include "core/files.h"
#include "tests/laws/evaluate.h"

namespace lathe::laws {
namespace {

// y = a b with a backward rule of the caller's choice. a (m, k), b (k, n).
Tensor product(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  const int64_t m = transpose_a ? a.dim(1) : a.dim(0), k = transpose_a ? a.dim(0) : a.dim(1),
                n = transpose_b ? b.dim(0) : b.dim(1);
  Tensor y = Tensor::zeros({m, n}, a.dtype());
  dispatch_floating(a.dtype(), "product", [&]<class T>() {
    const T *pa = a.ptr<T>(), *pb = b.ptr<T>();
    T* py = y.mut<T>();
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        for (int64_t l = 0; l < k; ++l)
          py[i * n + j] +=
              (transpose_a ? pa[l * m + i] : pa[i * k + l]) * (transpose_b ? pb[j * k + l] : pb[l * n + j]);
      }
    }
  });
  return y;
}

enum class Fault { None, Sign, Factor, Transposed, Missing };

Tensor scaled(Tensor x, double factor) {
  dispatch_floating(x.dtype(), "scaled", [&]<class T>() {
    for (int64_t i = 0; i < x.numel(); ++i) x.mut<T>()[i] *= static_cast<T>(factor);
  });
  return x;
}

OpCase planted(Fault fault) {
  const auto apply = [fault](const std::vector<Var>& in) {
    const Rule rule = [fault](Backward& b) {
      if (b.wants(0)) {
        // Square on purpose: the transposed gradient has the right shape.
        Tensor da = fault == Fault::Transposed ? product(b.saved(1), b.dy(), false, true)
                                               : product(b.dy(), b.saved(1), false, true);
        if (fault == Fault::Sign) da = scaled(da, -1);
        if (fault == Fault::Factor) da = scaled(da, 1.0 + 1e-4);
        b.pass(0, da);
      }
      if (b.wants(1) && fault != Fault::Missing) b.pass(1, product(b.saved(0), b.dy(), true, false));
    };
    return record("planted", product(in[0].data(), in[1].data(), false, false), {in[0], in[1]},
                  {in[0].data(), in[1].data()}, rule);
  };
  return {.name = "planted", .inputs = {{{3, 3}}, {{3, 3}}}, .apply = apply};
}

std::string op_name(const std::string& case_name) {
  return case_name.substr(0, case_name.find(' '));
}

// The functions that return a Var in the headers of autograd/ops; those that take an op's name make ops.
std::set<std::string> declared_ops() {
  const std::regex declaration(R"(^Var ([a-z_0-9]+)\((?!const char))");
  std::set<std::string> ops;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(LATHE_SOURCE_DIR) / "autograd/ops")) {
    if (entry.path().extension() != ".h") continue;
    const std::string text = read_text(entry.path());
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      std::smatch match;
      const std::string line = text.substr(begin, end - begin);
      if (std::regex_search(line, match, declaration)) ops.insert(match[1]);
      begin = end + 1;
    }
  }
  return ops;
}

}  // namespace

TEST_SUITE_BEGIN("op gradcheck");

TEST_CASE("gradients of every op case") {
  GradcheckRow worst;
  for (const GradcheckRow& row : gradcheck_ops()) {
    CHECK_MESSAGE(row.passed, row.name, ": ", row.message);
    if (row.worst > worst.worst) worst = row;
  }
  MESSAGE("worst of ", op_cases().size(), " cases: ", worst.worst, " in ", worst.name);
}

TEST_CASE("a wrong backward rule is caught") {
  CHECK(gradcheck_case(planted(Fault::None)).passed);
  for (const Fault fault : {Fault::Sign, Fault::Factor, Fault::Transposed, Fault::Missing}) {
    CAPTURE(static_cast<int>(fault));
    CHECK_FALSE(gradcheck_case(planted(fault)).passed);
  }
}

TEST_CASE("a case that throws or checks nothing fails") {
  OpCase throwing = planted(Fault::None);
  throwing.apply = [](const std::vector<Var>&) -> Var { throw ShapeError("planted"); };
  CHECK_FALSE(gradcheck_case(throwing).passed);
  OpCase idle = planted(Fault::None);
  idle.options.kinks = {0};
  idle.options.kink_window = 10;
  CHECK_FALSE(gradcheck_case(idle).passed);
}

TEST_CASE("every op of autograd/ops has a case, and every case its own name") {
  const std::set<std::string> declared = declared_ops();
  CHECK(declared.size() > 50);
  std::set<std::string> covered, names;
  for (const OpCase& op_case : op_cases()) {
    CHECK_MESSAGE(names.insert(op_case.name).second, "two cases are called ", op_case.name);
    CHECK_MESSAGE(declared.contains(op_name(op_case.name)), op_case.name, " names no op");
    covered.insert(op_name(op_case.name));
  }
  for (const std::string& op : declared) CHECK_MESSAGE(covered.contains(op), op, " has no case");
}

TEST_CASE("gradcheck_ops filters by name") {
  const auto all = gradcheck_ops("relu6");
  CHECK_FALSE(all.empty());
  for (const GradcheckRow& row : all) CHECK(row.name.find("relu6") != std::string::npos);
  CHECK(gradcheck_ops("no such op").empty());
}

TEST_SUITE_END();

}  // namespace lathe::laws
