// Laws about bits: an op is a pure function of its inputs, whatever runs it.

#include <algorithm>
#include <utility>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/parallel.h"
#include "tests/laws/evaluate.h"

namespace lathe::laws {
namespace {

class Threads {
 public:
  explicit Threads(int n) : previous_(num_threads()) { set_num_threads(n); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() { set_num_threads(previous_); }

 private:
  int previous_;
};

// Writes over a tensor through a handle of its own.
void overwrite(Tensor tensor) {
  dispatch_floating(tensor.dtype(), "laws", [&]<class T>() {
    T* x = tensor.mut<T>();
    std::fill(x, x + tensor.numel(), T(0.625));
  });
}

// Device::meta() carries shapes only. These make host tensors beside their inputs, which is refused.
bool brings_host_tensors(const std::string& name) {
  for (const char* op : {"batch_norm ", "cross_entropy ", "soft_cross_entropy ", "embedding", "attention "}) {
    if (name.starts_with(op)) return true;
  }
  return false;
}

}  // namespace

TEST_SUITE_BEGIN("op laws");

TEST_CASE("same bits when run twice and on one, two and three threads") {
  for (const OpCase& op_case : every_case()) {
    CAPTURE(op_case.name);
    for (const DType dtype : {DType::F32, DType::F64}) {
      CAPTURE(dtype);
      Evaluation first;
      {
        const Threads one(1);
        first = evaluate(op_case, dtype);
        CHECK(difference(first, evaluate(op_case, dtype)) == "");
      }
      for (const int n : {2, 3}) {
        CAPTURE(n);
        const Threads several(n);
        CHECK(difference(first, evaluate(op_case, dtype)) == "");
      }
    }
  }
}

TEST_CASE("outputs and gradients are finite and of the inputs' type") {
  for (const OpCase& op_case : every_case()) {
    CAPTURE(op_case.name);
    for (const DType dtype : {DType::F32, DType::F64}) {
      const Evaluation result = evaluate(op_case, dtype);
      CHECK(result.y.dtype() == dtype);
      CHECK(nmse(result.y, result.y) == 0);
      for (size_t i = 0; i < result.gradients.size(); ++i) {
        CAPTURE(i);
        CHECK(result.gradients[i].defined() == op_case.inputs[i].requires_grad);
        if (!result.gradients[i].defined()) continue;
        CHECK(result.gradients[i].shape() == op_case.inputs[i].shape);
        CHECK(result.gradients[i].dtype() == dtype);
        CHECK(nmse(result.gradients[i], result.gradients[i]) == 0);
      }
    }
  }
}

TEST_CASE("a gradient has the same bits when no other is wanted, and the others stay empty") {
  for (const OpCase& op_case : every_case()) {
    CAPTURE(op_case.name);
    const Evaluation all = evaluate(op_case, DType::F32);
    for (size_t wanted = 0; wanted < op_case.inputs.size(); ++wanted) {
      if (!op_case.inputs[wanted].requires_grad) continue;
      CAPTURE(wanted);
      OpCase alone = op_case;
      for (size_t i = 0; i < alone.inputs.size(); ++i) alone.inputs[i].requires_grad = i == wanted;
      const Evaluation result = evaluate(alone, DType::F32);
      CHECK(same_bits(result.y, all.y));
      for (size_t i = 0; i < alone.inputs.size(); ++i)
        CHECK(same_bits(result.gradients[i], i == wanted ? all.gradients[i] : Tensor()));
    }
  }
}

TEST_CASE("without gradients the output has the same bits and records nothing") {
  for (const OpCase& op_case : every_case()) {
    CAPTURE(op_case.name);
    const Tensor y = evaluate(op_case, DType::F32).y;
    const NoGrad no_grad;
    const std::vector<Var> inputs = make_inputs(op_case, DType::F32);
    const Var quiet = op_case.apply(inputs);
    CHECK(same_bits(quiet.data(), y));
    CHECK(quiet.node() == nullptr);
    // Dropout of nothing returns its input itself.
    const bool passed_on =
        std::any_of(inputs.begin(), inputs.end(), [&](const Var& input) { return quiet.same(input); });
    CHECK((passed_on || !quiet.requires_grad()));
  }
}

// A rule may use what it saved, nothing else: either the write is noticed or it does not matter.
TEST_CASE("an input or output overwritten before backward is noticed or not needed") {
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.name);
    const Evaluation untouched = evaluate(op_case, DType::F64);
    for (size_t written = 0; written <= op_case.inputs.size(); ++written) {
      CAPTURE(written);
      const std::vector<Var> inputs = make_inputs(op_case, DType::F64);
      const Var y = op_case.apply(inputs);
      if (!y.requires_grad()) continue;
      overwrite(written < inputs.size() ? inputs[written].data() : y.data());
      Evaluation result{untouched.y, {}};
      try {
        backward(y, output_gradient(y.shape(), y.dtype()));
      } catch (const StaleTensorError&) {
        continue;
      }
      for (const Var& input : inputs) result.gradients.push_back(input.grad());
      CHECK(difference(untouched, result) == "");
    }
  }
}

TEST_CASE("on the meta device an op has the same output shape and the same cost") {
  size_t compared = 0;
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.name);
    const std::vector<Var> inputs = make_inputs(op_case, DType::F32);
    std::vector<Var> shapes;
    for (const Var& input : inputs)
      shapes.emplace_back(Tensor::empty(input.shape(), DType::F32, Device::meta()), input.requires_grad());
    const auto run = [&](const std::vector<Var>& in) {
      const OpLog log;
      const Shape shape = op_case.apply(in).shape();
      int64_t macs = 0;
      for (const OpCall& call : log.calls()) macs += call.info.macs;
      return std::pair(shape, macs);
    };
    try {
      const auto found = run(shapes);
      CHECK((found == run(inputs)));
      ++compared;
    } catch (const DeviceError&) {
      CHECK(brings_host_tensors(op_case.name));
    }
  }
  CHECK(compared * 10 > op_cases().size() * 8);
}

TEST_CASE("inputs are not written to") {
  for (const OpCase& op_case : every_case()) {
    CAPTURE(op_case.name);
    const std::vector<Var> inputs = make_inputs(op_case, DType::F32);
    std::vector<uint64_t> versions;
    for (const Var& input : inputs) versions.push_back(input.data().version());
    evaluate(op_case, inputs);
    for (size_t i = 0; i < inputs.size(); ++i) CHECK(inputs[i].data().version() == versions[i]);
  }
}

TEST_SUITE_END();

}  // namespace lathe::laws
