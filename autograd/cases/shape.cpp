#include "autograd/ops/shape.h"

#include "autograd/op_cases.h"

namespace lathe {
namespace {

using Inputs = std::vector<Var>;

OpCase shape_case(std::string name, const Shape& shape, std::function<Var(const Var&)> apply) {
  return {.name = std::move(name), .inputs = {{.shape = shape}}, .apply = [apply](const Inputs& x) {
            return apply(x[0]);
          }};
}

OpCase permute_case(const Shape& shape, const std::vector<int>& axes) {
  std::string name = concat("permute ", shape, " by");
  for (const int axis : axes) name = lathe::concat(name, " ", axis);
  return shape_case(std::move(name), shape, [axes](const Var& x) { return permute(x, axes); });
}

OpCase pad_case(const char* name, const Shape& shape, const PadOptions& options) {
  return shape_case(name, shape, [options](const Var& x) { return pad(x, options); });
}

OpCase concat_case(const char* name, const std::vector<Shape>& shapes, int axis) {
  std::vector<CaseInput> inputs;
  for (const Shape& shape : shapes) inputs.push_back({.shape = shape});
  return {.name = name, .inputs = std::move(inputs), .apply = [axis](const Inputs& x) {
            return concat(x, axis);
          }};
}

}  // namespace

std::vector<OpCase> shape_cases() {
  return {
      shape_case("reshape", {4, 6, 5},
                 [](const Var& x) {
                   return reshape(x, {8, 15});
                 }),
      shape_case("reshape empty", {0, 6},
                 [](const Var& x) {
                   return reshape(x, {3, 0});
                 }),
      permute_case({5, 37}, {1, 0}),
      permute_case({2, 3, 5, 7}, {0, 3, 1, 2}),
      permute_case({2, 3, 5, 7}, {0, 2, 1, 3}),
      permute_case({3, 1, 4, 5}, {3, 1, 0, 2}),
      permute_case({2, 3, 4}, {0, 1, 2}),
      permute_case({0, 3}, {1, 0}),
      concat_case("concat first axis", {{2, 5}, {3, 5}, {1, 5}}, 0),
      concat_case("concat last axis with an empty part", {{3, 2}, {3, 0}, {3, 5}}, -1),
      concat_case("concat middle axis", {{2, 1, 4}, {2, 3, 4}}, 1),
      concat_case("concat one part", {{2, 3}}, 1),
      shape_case("slice first axis", {7, 5}, [](const Var& x) { return slice(x, 0, 2, 6); }),
      shape_case("slice middle axis step 2", {2, 7, 5}, [](const Var& x) { return slice(x, 1, 1, -1, 2); }),
      shape_case("slice last axis step 3", {4, 11}, [](const Var& x) { return slice(x, -1, 0, 10, 3); }),
      shape_case("slice to nothing", {4, 11}, [](const Var& x) { return slice(x, 1, 5, 5); }),
      pad_case("pad constant", {2, 4, 3}, {.axis = 1, .before = 1, .after = 2, .value = 0.5}),
      pad_case("pad replicate", {2, 4, 3}, {.axis = 1, .before = 2, .after = 3, .mode = PadMode::Replicate}),
      pad_case("pad replicate last axis", {5, 6}, {.before = 1, .mode = PadMode::Replicate}),
      pad_case("pad by nothing", {5, 6}, {}),
      shape_case("option_a_shortcut", {2, 5, 4, 4}, [](const Var& x) { return option_a_shortcut(x, 2, 8); }),
      shape_case("option_a_shortcut odd", {1, 3, 7, 3},
                 [](const Var& x) { return option_a_shortcut(x, 3, 6); }),
  };
}

}  // namespace lathe
