// Laws about kernels: every instruction set gives the numbers of float64, and nothing is written beside an
// output or read before it was written.

#include <doctest/doctest.h>

#include "core/cpu/isa.h"
#include "tests/laws/evaluate.h"
#include "tests/support/guards.h"

namespace lathe::laws {
namespace {

std::vector<cpu::Isa> supported() {
  std::vector<cpu::Isa> isas;
  for (const cpu::Isa isa : {cpu::Isa::Portable, cpu::Isa::V3, cpu::Isa::V4}) {
    if (isa <= cpu::widest_isa()) isas.push_back(isa);
  }
  return isas;
}

// float64 against float64: only the order of additions differs.
constexpr double kSameFormula = 1e-26;

void check_close(const Evaluation& found, const Evaluation& reference, double bound) {
  CHECK(nmse(found.y, reference.y) <= bound);
  for (size_t i = 0; i < found.gradients.size(); ++i) {
    CAPTURE(i);
    if (reference.gradients[i].defined()) CHECK(nmse(found.gradients[i], reference.gradients[i]) <= bound);
  }
}

}  // namespace

TEST_SUITE_BEGIN("op isa");

TEST_CASE("float32 and float64 agree with portable float64 on every instruction set") {
  for (const OpCase& op_case : every_case()) {
    CAPTURE(op_case.name);
    Evaluation reference;
    {
      const cpu::ForceIsa portable(cpu::Isa::Portable);
      reference = evaluate(op_case, DType::F64);
    }
    for (const cpu::Isa isa : supported()) {
      const std::string isa_name(to_string(isa));
      CAPTURE(isa_name);
      const cpu::ForceIsa forced(isa);
      check_close(evaluate(op_case, DType::F32), reference, op_case.nmse);
      check_close(evaluate(op_case, DType::F64), reference, kSameFormula);
    }
  }
}

TEST_CASE("nothing is written outside a tensor, nothing read before it was written") {
  for (const OpCase& op_case : every_case()) {
    CAPTURE(op_case.name);
    for (const cpu::Isa isa : supported()) {
      const std::string isa_name(to_string(isa));
      CAPTURE(isa_name);
      const cpu::ForceIsa forced(isa);
      for (const DType dtype : {DType::F32, DType::F64}) {
        const Evaluation plain = evaluate(op_case, dtype);
        const tests::GuardedMemory guards;
        // Fresh guarded memory reads as NaN: an element read too early or never written shows.
        CHECK(difference(plain, evaluate(op_case, dtype)) == "");
        CHECK(guards.violations() == 0);
      }
    }
  }
}

TEST_SUITE_END();

}  // namespace lathe::laws
