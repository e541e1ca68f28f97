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

// What a run in guarded memory shows that `plain` did not. Such memory reads as NaN: an element read too
// early or never written differs.
std::string memory_fault(const OpCase& op_case, DType dtype, const Evaluation& plain) {
  const tests::GuardedMemory guards;
  const std::string what = difference(plain, evaluate(op_case, dtype));
  if (!what.empty()) return lathe::concat(what, " differs in fresh memory");
  return guards.violations() > 0 ? "a write beside a tensor" : "";
}

std::string fault_on_any_isa(const OpCase& op_case) {
  Evaluation reference;
  {
    const cpu::ForceIsa portable(cpu::Isa::Portable);
    reference = evaluate(op_case, DType::F64);
  }
  for (const cpu::Isa isa : tests::isas()) {
    const cpu::ForceIsa forced(isa);
    for (const DType dtype : {DType::F32, DType::F64}) {
      const Evaluation plain = evaluate(op_case, dtype);
      std::string what = memory_fault(op_case, dtype, plain);
      if (what.empty()) what = far_off(plain, reference, dtype == DType::F32 ? op_case.nmse : kSameFormula);
      if (!what.empty()) return lathe::concat(what, " in ", dtype, " on ", isa);
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

TEST_CASE(
    "on every instruction set numbers are portable float64's, and no memory is touched that should not be") {
  for (const OpCase& op_case : every_case()) {
    const std::string fault = fault_on_any_isa(op_case);
    CHECK_MESSAGE(fault.empty(), op_case.name, ": ", fault);
  }
}

TEST_CASE("planted faults of kernels are caught") {
  const auto copy = [](auto* y, const auto* x, int64_t n) { std::copy(x, x + n, y); };
  const auto fault = [](auto spoil) { return fault_on_any_isa(copy_that(spoil)); };
  CHECK(fault(copy) == "");
  // The last element stays as it was.
  CHECK(fault([=](auto* y, const auto* x, int64_t n) { copy(y, x, n - 1); }).find("fresh memory") !=
        std::string::npos);
  {
    // The law's plain run writes beside its tensors too: into guard bands, not into somebody's memory.
    const tests::GuardedMemory guards;
    for (const int64_t beside : {-1, 13}) {
      const auto spoil = [=](auto* y, const auto* x, int64_t n) {
        copy(y, x, n);
        y[beside] = 1;
      };
      CHECK(fault(spoil).find("a write beside") != std::string::npos);
    }
  }
  const auto off = [=](auto* y, const auto* x, int64_t n) {
    copy(y, x, n);
    if (cpu::active_isa() != cpu::Isa::Portable || sizeof(*y) == 4) y[3] *= 1.001f;
  };
  CHECK(fault(off).find("nmse") != std::string::npos);
}

TEST_SUITE_END();

}  // namespace lathe::laws
