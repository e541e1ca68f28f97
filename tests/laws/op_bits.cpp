// Laws about bits: an op is a pure function of its inputs, whatever runs it. A law returns what is wrong with
// a case, or nothing.

#include <algorithm>
#include <atomic>
#include <utility>

#include <doctest/doctest.h>

#include "autograd/ops/elementwise.h"
#include "core/error.h"
#include "core/parallel.h"
#include "tests/laws/evaluate.h"
#include "tests/support/kernels.h"

namespace lathe::laws {
namespace {

// Writes over a tensor through a handle of its own.
void overwrite(Tensor tensor) {
  dispatch_floating(tensor.dtype(), "laws", [&]<class T>() {
    T* x = tensor.mut<T>();
    std::fill(x, x + tensor.numel(), T(0.625));
  });
}

std::string same_on_any_threads(const OpCase& op_case) {
  for (const DType dtype : {DType::F32, DType::F64}) {
    Evaluation first;
    for (const int n : {1, 1, 2, 3}) {
      const tests::Threads threads(n);
      Evaluation now = evaluate(op_case, dtype);
      if (!first.y.defined()) first = now;
      const std::string what = difference(first, now);
      if (!what.empty()) return lathe::concat(what, " in ", dtype, " on ", n, " threads");
    }
  }
  return "";
}

std::string finite_and_shaped(const OpCase& op_case) {
  for (const DType dtype : {DType::F32, DType::F64}) {
    const Evaluation result = evaluate(op_case, dtype);
    if (result.y.dtype() != dtype) return "the output's type";
    if (nmse(result.y, result.y) != 0) return "the output is not finite";
    for (size_t i = 0; i < result.gradients.size(); ++i) {
      const Tensor& gradient = result.gradients[i];
      if (gradient.defined() != op_case.inputs[i].requires_grad)
        return lathe::concat("gradient ", i, " is missing, or nobody wanted it");
      if (!gradient.defined()) continue;
      if (gradient.shape() != op_case.inputs[i].shape || gradient.dtype() != dtype)
        return lathe::concat("shape or type of gradient ", i);
      if (nmse(gradient, gradient) != 0) return lathe::concat("gradient ", i, " is not finite");
    }
  }
  return "";
}

std::string same_when_wanted_alone(const OpCase& op_case) {
  const Evaluation all = evaluate(op_case, DType::F32);
  for (size_t wanted = 0; wanted < op_case.inputs.size(); ++wanted) {
    if (!op_case.inputs[wanted].requires_grad) continue;
    OpCase alone = op_case;
    for (size_t i = 0; i < alone.inputs.size(); ++i) alone.inputs[i].requires_grad = i == wanted;
    Evaluation expected{all.y, std::vector<Tensor>(alone.inputs.size())};
    expected.gradients[wanted] = all.gradients[wanted];
    const std::string what = difference(expected, evaluate(alone, DType::F32));
    if (!what.empty()) return lathe::concat(what, " when only gradient ", wanted, " is wanted");
  }
  return "";
}

std::string same_without_gradients(const OpCase& op_case) {
  const Tensor y = evaluate(op_case, DType::F32).y;
  const NoGrad no_grad;
  const std::vector<Var> inputs = make_inputs(op_case, DType::F32);
  const Var quiet = op_case.apply(inputs);
  if (!same_bits(quiet.data(), y)) return "output";
  if (quiet.node() != nullptr) return "something was recorded";
  // Dropout of nothing returns its input itself.
  const bool passed_on =
      std::any_of(inputs.begin(), inputs.end(), [&](const Var& input) { return quiet.same(input); });
  return passed_on || !quiet.requires_grad() ? "" : "the output wants a gradient";
}

// A rule may use what it saved, nothing else: either the write is noticed or it does not matter.
std::string writes_are_noticed(const OpCase& op_case) {
  const Evaluation untouched = evaluate(op_case, DType::F64);
  for (size_t written = 0; written <= op_case.inputs.size(); ++written) {
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
    const std::string what = difference(untouched, result);
    if (!what.empty()) return lathe::concat(what, " changed with tensor ", written);
  }
  return "";
}

std::string inputs_stay(const OpCase& op_case) {
  const std::vector<Var> inputs = make_inputs(op_case, DType::F32);
  std::vector<uint64_t> versions;
  for (const Var& input : inputs) versions.push_back(input.data().version());
  evaluate(op_case, inputs);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].data().version() != versions[i]) return lathe::concat("input ", i, " was written to");
  }
  return "";
}

// Device::meta() carries shapes only. These make host tensors beside their inputs, which is refused.
bool brings_host_tensors(const std::string& name) {
  for (const char* op : {"batch_norm ", "cross_entropy ", "soft_cross_entropy ", "embedding", "attention "}) {
    if (name.starts_with(op)) return true;
  }
  return false;
}

std::string same_on_meta(const OpCase& op_case) {
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
    return run(shapes) == run(inputs) ? "" : "shape or cost";
  } catch (const DeviceError& error) {
    return brings_host_tensors(op_case.name) ? "" : error.what();
  }
}

using Law = std::string (*)(const OpCase&);

void check_all(const std::vector<OpCase>& cases, Law law) {
  for (const OpCase& op_case : cases) {
    const std::string violation = law(op_case);
    CHECK_MESSAGE(violation.empty(), op_case.name, ": ", violation);
  }
}

OpCase broken(std::function<Var(const std::vector<Var>&)> apply) {
  return {.name = "broken", .inputs = {{{64}}, {{64}}}, .apply = std::move(apply)};
}

// A product whose rule reads the input through a copy of its own instead of Backward::saved.
Var product_with_captured_input(const std::vector<Var>& in) {
  const Var y = mul(in[0], in[1]);
  const Rule rule = [a = in[0].data(), b = in[1].data()](Backward& back) {
    if (back.wants(0)) back.pass(0, mul(Var(back.dy()), Var(b)).data());
    if (back.wants(1)) back.pass(1, mul(Var(back.dy()), Var(a)).data());
  };
  return record("broken", y.data(), in, {}, rule);
}

// As many chunks as threads: the sum depends on them.
Var sum_by_threads(const std::vector<Var>& in) {
  Tensor y = Tensor::zeros({1}, in[0].dtype());
  dispatch_floating(in[0].dtype(), "broken", [&]<class T>() {
    const T* x = in[0].data().ptr<T>();
    const int64_t n = in[0].dim(0), parts = num_threads();
    T total = 0;
    for (int64_t part = 0; part < parts; ++part) {
      T partial = 0;
      for (int64_t i = n * part / parts; i < n * (part + 1) / parts; ++i) partial += x[i];
      total += partial;
    }
    y.mut<T>()[0] = total;
  });
  return Var(y);
}

}  // namespace

TEST_SUITE_BEGIN("op laws");

TEST_CASE("same bits when run twice and on one, two and three threads") {
  check_all(every_case(), same_on_any_threads);
}

TEST_CASE("outputs and gradients are finite and of the inputs' type") {
  check_all(every_case(), finite_and_shaped);
}

TEST_CASE("a gradient has the same bits when no other is wanted, and the others stay empty") {
  check_all(every_case(), same_when_wanted_alone);
}

TEST_CASE("without gradients the output has the same bits and records nothing") {
  check_all(every_case(), same_without_gradients);
}

TEST_CASE("an input or output overwritten before backward is noticed or not needed") {
  check_all(op_cases(), writes_are_noticed);
}

TEST_CASE("inputs are not written to") {
  check_all(every_case(), inputs_stay);
}

TEST_CASE("on the meta device an op has the same output shape and the same cost") {
  check_all(op_cases(), same_on_meta);
  const auto& cases = op_cases();
  const auto excused =
      std::count_if(cases.begin(), cases.end(), [](const OpCase& c) { return brings_host_tensors(c.name); });
  CHECK(static_cast<size_t>(excused) * 3 < cases.size());
}

TEST_CASE("planted violations of the laws are caught") {
  const OpCase fine = broken([](const std::vector<Var>& in) { return mul(in[0], in[1]); });
  for (const Law law : {same_on_any_threads, finite_and_shaped, same_when_wanted_alone,
                        same_without_gradients, writes_are_noticed, inputs_stay, same_on_meta})
    CHECK(law(fine) == "");
  CHECK(same_on_any_threads(broken(sum_by_threads)) != "");
  CHECK(writes_are_noticed(broken(product_with_captured_input)) != "");
  CHECK(inputs_stay(broken([](const std::vector<Var>& in) {
          Tensor x = in[0].data();
          if (x.dtype() == DType::F32) x.mut<float>()[0] += 1;
          return add(in[0], in[1]);
        })) != "");
  // Only the second gradient, and it is infinite.
  CHECK(finite_and_shaped(broken([](const std::vector<Var>& in) {
          return add(in[0].detach(), div(in[1], Var(Tensor::zeros({64}, in[1].dtype()))));
        })) != "");
  std::atomic<int> calls{0};
  CHECK(same_on_any_threads(
            broken([&calls](const std::vector<Var>& in) { return scale(in[0], 1 + ++calls); })) != "");
  // The rule writes to a gradient that depends on what else is wanted.
  CHECK(same_when_wanted_alone(broken([](const std::vector<Var>& in) {
          const double factor = in[0].requires_grad() && in[1].requires_grad() ? 2 : 3;
          return record("broken", add(in[0], in[1]).data(), in, {}, [factor](Backward& back) {
            for (const int i : {0, 1}) {
              if (back.wants(i)) back.pass(i, scale(Var(back.dy()), factor).data());
            }
          });
        })) != "");
  CHECK(same_on_meta(broken([](const std::vector<Var>& in) {
          return in[0].data().device() == Device::meta() ? in[0] : add(in[0], Var(Tensor::zeros({2, 64})));
        })) != "");
}

TEST_SUITE_END();

}  // namespace lathe::laws
