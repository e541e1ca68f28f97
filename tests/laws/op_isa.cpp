// Laws about kernels: every instruction set gives the numbers of float64, and nothing is written beside an
// output or read before it was written.

#include <algorithm>

#include <doctest/doctest.h>

#include "autograd/ops/elementwise.h"
#include "core/cpu/isa.h"
#include "tests/laws/evaluate.h"
#include "tests/support/guards.h"
#include "tests/support/kernels.h"

namespace lathe::laws {
namespace {

// float64 against float64: only the order of additions differs.
constexpr double kSameFormula = 1e-26;

// What of `found` is farther from the reference than `bound`, or "".
std::string far_off(const Evaluation& found, const Evaluation& reference, double bound) {
  const double error = nmse(found.y, reference.y);
  if (!(error <= bound)) return lathe::concat("output, nmse ", error);
  for (size_t i = 0; i < found.gradients.size(); ++i) {
    if (!reference.gradients[i].defined()) continue;
    const double wrong = nmse(found.gradients[i], reference.gradients[i]);
    if (!(wrong <= bound)) return lathe::concat("gradient ", i, ", nmse ", wrong);
  }
  return "";
}

std::string close_on_every_isa(const OpCase& op_case) {
  Evaluation reference;
  {
    const cpu::ForceIsa portable(cpu::Isa::Portable);
    reference = evaluate(op_case, DType::F64);
  }
  for (const cpu::Isa isa : tests::isas()) {
    const cpu::ForceIsa forced(isa);
    for (const DType dtype : {DType::F32, DType::F64}) {
      const double bound = dtype == DType::F32 ? op_case.nmse : kSameFormula;
      const std::string what = far_off(evaluate(op_case, dtype), reference, bound);
      if (!what.empty()) return lathe::concat(what, " in ", dtype, " on ", isa);
    }
  }
  return "";
}

std::string memory_is_clean(const OpCase& op_case) {
  for (const cpu::Isa isa : tests::isas()) {
    const cpu::ForceIsa forced(isa);
    for (const DType dtype : {DType::F32, DType::F64}) {
      const Evaluation plain = evaluate(op_case, dtype);
      const tests::GuardedMemory guards;
      // Fresh guarded memory reads as NaN: an element read too early or never written shows.
      const std::string what = difference(plain, evaluate(op_case, dtype));
      if (!what.empty()) return lathe::concat(what, " differs in fresh memory, in ", dtype, " on ", isa);
      if (guards.violations() > 0) return lathe::concat("a write beside a tensor, in ", dtype, " on ", isa);
    }
  }
  return "";
}

// y = x, but for what `spoil` does to y's memory.
template <class Spoil>
OpCase copy_that(Spoil spoil) {
  const auto apply = [spoil](const std::vector<Var>& in) {
    Tensor y = in[0].data().empty_like();
    dispatch_floating(y.dtype(), "broken", [&]<class T>() {
      const T* x = in[0].data().ptr<T>();
      T* out = y.mut<T>();
      spoil(out, x, y.numel());
    });
    return Var(y);
  };
  return {.name = "broken", .inputs = {{{13}}}, .apply = apply};
}

}  // namespace

TEST_SUITE_BEGIN("op isa");

TEST_CASE("float32 and float64 agree with portable float64 on every instruction set") {
  for (const OpCase& op_case : every_case()) {
    const std::string violation = close_on_every_isa(op_case);
    CHECK_MESSAGE(violation.empty(), op_case.name, ": ", violation);
  }
}

TEST_CASE("nothing is written outside a tensor, nothing read before it was written") {
  for (const OpCase& op_case : every_case()) {
    const std::string violation = memory_is_clean(op_case);
    CHECK_MESSAGE(violation.empty(), op_case.name, ": ", violation);
  }
}

TEST_CASE("planted faults of kernels are caught") {
  const auto copy = [](auto* y, const auto* x, int64_t n) { std::copy(x, x + n, y); };
  const OpCase fine = copy_that(copy);
  CHECK(close_on_every_isa(fine) == "");
  CHECK(memory_is_clean(fine) == "");
  CHECK(memory_is_clean(copy_that([=](auto* y, const auto* x, int64_t n) {
          copy(y, x, n - 1);  // the last element stays as it was
        })) != "");
  {
    // The law's plain run writes beside its tensors too: into guard bands, not into somebody's memory.
    const tests::GuardedMemory guards;
    for (const int64_t beside : {-1, 13}) {
      CHECK(memory_is_clean(copy_that([=](auto* y, const auto* x, int64_t n) {
              copy(y, x, n);
              y[beside] = 1;
            })) != "");
    }
  }
  CHECK(close_on_every_isa(copy_that([=](auto* y, const auto* x, int64_t n) {
          copy(y, x, n);
          if (cpu::active_isa() != cpu::Isa::Portable || sizeof(*y) == 4) y[3] *= 1.001f;
        })) != "");
}

TEST_SUITE_END();

}  // namespace lathe::laws
