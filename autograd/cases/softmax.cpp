#include "autograd/ops/softmax.h"

#include "autograd/op_cases.h"

namespace lathe {
namespace {

OpCase row(std::string name, const Shape& x, int axis, double range = 3) {
  return {.name = "softmax " + name,
          .inputs = {{x, -range, range}},
          .apply = [axis](const std::vector<Var>& in) { return softmax(in[0], axis); }};
}

OpCase log_row(std::string name, const Shape& x, int axis, double range = 3) {
  return {.name = "log_softmax " + name,
          .inputs = {{x, -range, range}},
          .apply = [axis](const std::vector<Var>& in) { return log_softmax(in[0], axis); }};
}

// One value takes nearly everything, so that the gradient is a difference of nearly equal numbers.
OpCase wide_row() {
  OpCase wide = row("wide range", {4, 9}, -1, 30);
  wide.nmse = 1e-8;
  return wide;
}

}  // namespace

std::vector<OpCase> softmax_cases() {
  return {
      row("last axis", {3, 7}, -1),
      row("last axis, 37 values", {2, 3, 37}, 2),
      row("one value", {5, 1}, -1),
      row("first axis", {6, 5}, 0),
      row("middle axis", {2, 7, 19}, 1),
      row("vector", {33}, 0),
      wide_row(),
      row("no rows", {0, 4}, -1),
      row("no values", {3, 0}, -1),
      log_row("last axis", {3, 7}, -1),
      log_row("37 values", {2, 37}, -1),
      log_row("first axis", {6, 21}, 0),
      log_row("middle axis", {2, 5, 3}, -2),
      log_row("wide range", {4, 9}, -1, 30),
  };
}

}  // namespace lathe
