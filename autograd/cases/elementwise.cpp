#include "autograd/ops/elementwise.h"

#include "autograd/op_cases.h"

namespace lathe {
namespace {

using Inputs = std::vector<Var>;

OpCase binary_case(const char* op, const char* shapes, Var (*apply)(const Var&, const Var&), const Shape& a,
                   const Shape& b) {
  return {.name = std::string(op) + " " + shapes,
          .inputs = {{.shape = a}, {.shape = b}},
          .apply = [apply](const Inputs& x) { return apply(x[0], x[1]); }};
}

OpCase unary_case(std::string name, std::function<Var(const Var&)> apply, double lo = -2, double hi = 2,
                  std::vector<double> kinks = {}) {
  return {.name = std::move(name),
          .inputs = {{.shape = {3, 37}, .lo = lo, .hi = hi}},
          .apply = [apply = std::move(apply)](const Inputs& x) { return apply(x[0]); },
          .options = {.kinks = std::move(kinks)}};
}

/// Every way two shapes broadcast: equal, bias, both stretched, channel scale, a missing axis, a scalar,
/// nothing.
void add_broadcasts(std::vector<OpCase>& cases, const char* op, Var (*apply)(const Var&, const Var&)) {
  cases.push_back(binary_case(op, "equal shapes", apply, {5, 67}, {5, 67}));
  cases.push_back(binary_case(op, "bias", apply, {4, 3, 19}, {19}));
  cases.push_back(binary_case(op, "both stretched", apply, {7, 1, 3}, {1, 5, 3}));
  cases.push_back(binary_case(op, "channel scale", apply, {2, 3, 4, 9}, {2, 1, 1, 9}));
  cases.push_back(binary_case(op, "column", apply, {6, 1}, {4, 6, 11}));
  cases.push_back(binary_case(op, "scalar", apply, {}, {3, 5}));
  cases.push_back(binary_case(op, "empty", apply, {0, 4}, {1, 4}));
}

}  // namespace

std::vector<OpCase> elementwise_cases() {
  std::vector<OpCase> cases;
  add_broadcasts(cases, "add", add);
  add_broadcasts(cases, "sub", sub);
  add_broadcasts(cases, "mul", mul);
  add_broadcasts(cases, "maximum", maximum);  // ties, the kink, need equal random numbers
  add_broadcasts(cases, "minimum", minimum);
  cases.push_back({.name = "cast to f64 and back", .inputs = {{{5, 7}}}, .apply = [](const Inputs& x) {
                     return cast(square(cast(x[0], DType::F64)), x[0].dtype());
                   }});
  for (const Shape& divisor : {Shape{4, 21}, Shape{21}, Shape{4, 1}, Shape{}}) {
    cases.push_back({.name = concat("div by ", divisor),
                     .inputs = {{.shape = {4, 21}}, {.shape = divisor, .lo = 0.5, .hi = 2}},
                     .apply = [](const Inputs& x) { return div(x[0], x[1]); }});
  }
  cases.push_back({.name = "add of a value to itself",
                   .inputs = {{.shape = {3, 5}}},
                   .apply = [](const Inputs& x) { return add(x[0], x[0]); }});

  cases.push_back(unary_case("scale", [](const Var& x) { return scale(x, -1.7); }));
  cases.push_back(unary_case("add_scalar", [](const Var& x) { return add_scalar(x, 0.3); }));
  cases.push_back(unary_case("neg", neg));
  cases.push_back(unary_case("exp", exp));
  cases.push_back(unary_case("log", log, 0.2, 4));
  cases.push_back(unary_case("sqrt", sqrt, 0.2, 4));
  cases.push_back(unary_case("square", square));
  cases.push_back(unary_case("abs", abs, -2, 2, {0}));
  cases.push_back(unary_case(
      "pow 2.5", [](const Var& x) { return pow(x, 2.5); }, 0.2, 3));
  cases.push_back(unary_case("pow 3", [](const Var& x) { return pow(x, 3); }));
  cases.push_back(unary_case("pow 0", [](const Var& x) { return pow(x, 0); }));
  cases.push_back(
      unary_case("clamp", [](const Var& x) { return clamp(x, -0.5, 1.25); }, -2, 2, {-0.5, 1.25}));
  return cases;
}

}  // namespace lathe
