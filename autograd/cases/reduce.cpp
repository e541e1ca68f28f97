#include "autograd/ops/reduce.h"

#include "autograd/op_cases.h"

namespace lathe {
namespace {

using Inputs = std::vector<Var>;

OpCase reduce_case(const char* name, Var (*apply)(const Var&, const ReduceOptions&), const Shape& shape,
                   const ReduceOptions& options) {
  return {.name = name, .inputs = {{.shape = shape}}, .apply = [apply, options](const Inputs& x) {
            return apply(x[0], options);
          }};
}

OpCase variance_case(const char* name, Var (*apply)(const Var&, const VarianceOptions&), const Shape& shape,
                     const VarianceOptions& options) {
  return {.name = name, .inputs = {{.shape = shape}}, .apply = [apply, options](const Inputs& x) {
            return apply(x[0], options);
          }};
}

}  // namespace

std::vector<OpCase> reduce_cases() {
  return {
      reduce_case("sum all", sum, {3, 5, 7}, {}),
      reduce_case("sum last axis", sum, {4, 33}, {.axes = {-1}}),
      reduce_case("sum first axis", sum, {19, 6}, {.axes = {0}}),
      reduce_case("sum middle axis keepdim", sum, {3, 5, 4}, {.axes = {1}, .keepdim = true}),
      reduce_case("sum two separate axes", sum, {3, 4, 5, 2}, {.axes = {0, 2}}),
      reduce_case("sum alternate axes keepdim", sum, {2, 3, 4, 3, 2}, {.axes = {0, -1, 2}, .keepdim = true}),
      reduce_case("sum of a scalar", sum, {}, {}),
      reduce_case("sum of nothing", sum, {0, 3}, {.axes = {0}}),
      reduce_case("sum over an extent of 1", sum, {4, 1, 3}, {.axes = {1}}),
      reduce_case("mean all", mean, {3, 5, 7}, {}),
      reduce_case("mean of pixels", mean, {2, 3, 5, 7}, {.axes = {1, 2}}),
      reduce_case("mean last axis keepdim", mean, {4, 9}, {.axes = {-1}, .keepdim = true}),
      variance_case("variance all", variance, {4, 11}, {}),
      variance_case("variance biased last axis", variance, {4, 11},
                    {.axes = {-1}, .keepdim = true, .unbiased = false}),
      variance_case("variance first axis", variance, {9, 5}, {.axes = {0}}),
      variance_case("standard_deviation all", standard_deviation, {4, 11}, {}),
      variance_case("standard_deviation last axis", standard_deviation, {3, 1, 7},
                    {.axes = {-1}, .keepdim = true}),
  };
}

}  // namespace lathe
