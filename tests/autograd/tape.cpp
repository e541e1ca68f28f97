// The tape: order, ownership, depth and what it says when something goes wrong.

#include <chrono>

#include <doctest/doctest.h>

#include "autograd/node.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "core/allocator.h"
#include "core/error.h"
#include "layers/linear.h"

namespace lathe {
namespace {

Var leaf(std::vector<double> values) {
  const auto n = static_cast<int64_t>(values.size());
  return Var(Tensor::from(values, {n}), true);
}

double grad_of(const Var& x, int64_t i = 0) {
  REQUIRE(x.grad().defined());
  return x.grad().ptr<double>()[i];
}

Var chain(Var x, int64_t length) {
  for (int64_t i = 0; i < length; ++i) x = add_scalar(x, 1.0);
  return x;
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

struct Head : Module {
  Head() : Module(RootOptions{.dtype = DType::F64}), head(*this, "head", 3, 2) {}
  Linear head;
};

}  // namespace

TEST_SUITE_BEGIN("autograd");

TEST_CASE("tape: a chain of 300,000 ops is differentiated without recursion") {
  const Var x = leaf({0.5});
  backward(chain(x, 300'000));
  CHECK(grad_of(x) == 1);
}

TEST_CASE("tape: a graph of a million ops is released without recursion") {
  const Var x = leaf({0.5});
  const size_t before = host_allocator::stats().live_bytes;
  {
    const Var end = chain(x, 1'000'000);
    CHECK(end.data().item() == 1'000'000.5);
  }
  CHECK(host_allocator::stats().live_bytes == before);
}

TEST_CASE("tape: a long diamond is released and differentiated in linear time") {
  // Naive recursion would visit 2^2000 paths.
  const Var x = leaf({1.0});
  Var y = x;
  for (int i = 0; i < 2000; ++i) y = scale(add(y, y), 0.5);
  backward(y);
  CHECK(grad_of(x) == 1);
}

TEST_CASE("tape: gradients add up where a value is used more than once") {
  const Var x = leaf({2.0});
  const Var a = square(x), b = scale(x, 3), c = mul(a, b);  // 3 x^3
  backward(add(c, a));                                      // + x^2
  CHECK(grad_of(x) == 9 * 4 + 2 * 2);
}

TEST_CASE("tape: leaves accumulate over backward passes until dropped") {
  const Var x = leaf({2.0}), y = leaf({5.0});
  backward(mul(x, y));
  backward(mul(x, y));
  CHECK(grad_of(x) == 10);
  CHECK(grad_of(y) == 4);
  x.grad() = Tensor();
  backward(mul(x, y));
  CHECK(grad_of(x) == 5);
  CHECK(grad_of(y) == 6);
}

TEST_CASE("tape: a leaf's gradient is its own memory") {
  // add hands the same gradient to both sides; writing into one may not change the other.
  const Var x = leaf({1.0}), y = leaf({1.0});
  backward(add(x, y));
  x.grad().mut<double>()[0] = 7;
  CHECK(grad_of(y) == 1);
  backward(add(x, y));
  CHECK(grad_of(x) == 8);
  CHECK(grad_of(y) == 2);
}

TEST_CASE("tape: a gradient given from outside stays the caller's") {
  const Var x = leaf({1.0, 2.0});
  const Tensor dy = Tensor::from(std::vector<double>{3.0, 4.0}, {2});
  backward(add_scalar(x, 1), dy);
  backward(add_scalar(x, 1), dy);
  CHECK(grad_of(x, 1) == 8);
  CHECK(dy.ptr<double>()[1] == 4);
}

TEST_CASE("tape: what cannot be differentiated is refused") {
  const Var x = leaf({1.0, 2.0});
  CHECK_THROWS_AS(backward(square(x)), ShapeError);  // two elements
  CHECK_THROWS_AS(backward(sum(square(x.detach()))), ShapeError);
  CHECK_THROWS_AS(backward(square(x), Tensor::zeros({3}, DType::F64)), ShapeError);
  CHECK_THROWS_AS(Var(Tensor::zeros({2}, DType::I64), true), DTypeError);
  CHECK_THROWS_AS(square(x).grad(), NotImplementedError);
}

TEST_CASE("tape: a second backward through the same ops throws") {
  const Var x = leaf({3.0});
  const Var y = square(x);
  const Var z = scale(y, 2);
  backward(z);
  CHECK_THROWS_AS(backward(z), StaleTensorError);
  CHECK_THROWS_AS(backward(scale(y, 5)), StaleTensorError);  // another head, the same body
  CHECK(grad_of(x) == 12);
}

TEST_CASE("tape: backward frees what the ops saved") {
  const Var x(Tensor::full({1000, 100}, 0.5, DType::F32), true);
  const size_t before = host_allocator::stats().live_bytes;
  Var y = sum(square(square(x)));
  CHECK(host_allocator::stats().live_bytes >= before + 400'000);
  backward(y);
  // Only the gradient, and the loss itself, are left.
  CHECK(host_allocator::stats().live_bytes <= before + 400'000 + 8192);
}

TEST_CASE("tape: a tensor saved for backward may not change") {
  const Var x = leaf({3.0});
  const Var y = square(x);
  x.mutable_data().mut<double>()[0] = 4;
  const std::string message = message_of([&] { backward(y); });
  CHECK(message.find("square") != std::string::npos);
  CHECK(message.find("modified in place") != std::string::npos);
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("tape: after an error the tape works again") {
  const Var x = leaf({3.0});
  const Var bad = square(x);
  x.mutable_data().mut<double>()[0] = 4;
  CHECK_THROWS_AS(backward(bad), StaleTensorError);
  backward(square(x));
  CHECK(grad_of(x) == 8);
}

TEST_CASE("tape: NoGrad records nothing and can be lifted inside") {
  const Var x = leaf({3.0});
  {
    const NoGrad no_grad;
    CHECK_FALSE(grad_enabled());
    CHECK_FALSE(square(x).requires_grad());
    const NoGrad lifted(false);
    CHECK(square(x).requires_grad());
  }
  CHECK(grad_enabled());
  CHECK(square(x).node() != nullptr);
}

TEST_CASE("tape: values that need no gradient record nothing") {
  const Var x(Tensor::full({2}, 1.0));
  CHECK_FALSE(square(x).requires_grad());
  CHECK(square(x).node() == nullptr);
  const Var y = leaf({3.0});
  CHECK_FALSE(square(y.detach()).requires_grad());
}

TEST_CASE("tape: an op log sees every call, with or without gradients") {
  Head model;
  const Var x(Tensor::full({5, 3}, 1.0, DType::F64));
  const OpLog log;
  {
    const NoGrad no_grad;
    model.head(x);
  }
  model.head(x);
  REQUIRE(log.calls().size() == 2);
  for (const OpCall& call : log.calls()) {
    CHECK(call.op == "linear");
    CHECK(call.where == "head (Linear)");
    CHECK(call.output == Shape{5, 2});
    CHECK(call.info.macs == 5 * 3 * 2);
  }
  CHECK_THROWS_AS(OpLog(), NotImplementedError);
}

TEST_CASE("tape: errors name the module, forwards and backwards") {
  Head model;
  const Var wrong(Tensor::full({5, 4}, 1.0, DType::F64));
  const std::string forward = message_of([&] { model.head(wrong); });
  CHECK(forward.find("linear: ") == 0);
  CHECK(forward.find(" in head (Linear)") != std::string::npos);

  const Var x(Tensor::full({5, 3}, 1.0, DType::F64));
  const Var y = sum(model.head(x));
  model.head.weight().raw().mutable_data().mut<double>()[0] = 2;
  Tensor input = x.data();
  input.mut<double>()[0] = 2;
  const std::string backwards = message_of([&] { backward(y); });
  CHECK(backwards.find("head (Linear), backward of linear") != std::string::npos);
}

TEST_CASE("tape: a leaf's value can be replaced, by one like it") {
  const Var x = leaf({1.0, 2.0});
  x.set_data(Tensor::full({2}, 5.0, DType::F64));
  CHECK(x.data().ptr<double>()[1] == 5);
  CHECK_THROWS_AS(x.set_data(Tensor::full({3}, 5.0, DType::F64)), ShapeError);
  CHECK_THROWS_AS(x.set_data(Tensor::full({2}, 5.0, DType::F32)), DTypeError);
  CHECK_THROWS_AS(square(x).set_data(Tensor::full({2}, 5.0, DType::F64)), NotImplementedError);
}

TEST_SUITE_END();

}  // namespace lathe
