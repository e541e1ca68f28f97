#include "autograd/ops/lstm.h"

#include "autograd/op_cases.h"

namespace lathe {
namespace {

OpCase one(std::string name, const Shape& x, int64_t units, bool reverse = false, bool first = false,
           bool bias = true) {
  OpCase result{.name = "lstm " + name,
                .inputs = {{x, -2, 2}, {{4 * units, x[2]}}, {{4 * units, units}}},
                .apply = [reverse, first, bias](const std::vector<Var>& in) {
                  LstmWeights w{.input = in[1], .recurrent = in[2]};
                  size_t next = 3;
                  if (bias) {
                    w.input_bias = in[next++];
                    w.recurrent_bias = in[next++];
                  }
                  LstmOptions options{.reverse = reverse};
                  if (first) {
                    options.h0 = in[next++];
                    options.c0 = in[next++];
                  }
                  return lstm(in[0], w, options);
                }};
  if (bias) result.inputs.insert(result.inputs.end(), 2, {{4 * units}});
  if (first) result.inputs.insert(result.inputs.end(), 2, {{x[0], units}});
  return result;
}

}  // namespace

std::vector<OpCase> lstm_cases() {
  return {
      one("3 units", {2, 4, 5}, 3),
      one("reverse", {2, 4, 5}, 3, true),
      one("from a state", {3, 3, 2}, 4, false, true),
      one("from a state, reverse", {3, 3, 2}, 4, true, true),
      one("no biases", {2, 3, 4}, 2, false, false, false),
      one("one step", {2, 1, 3}, 5),
      one("more rows and units than a block", {5, 2, 3}, 19),
      one("more units than a backward block", {1, 3, 2}, 67),
      one("no rows", {0, 3, 2}, 3),
  };
}

}  // namespace lathe
