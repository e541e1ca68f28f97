#include "autograd/ops/matmul.h"

#include "autograd/op_cases.h"

namespace lathe {
namespace {

OpCase product(std::string name, const Shape& a, const Shape& b, const MatmulOptions& options = {}) {
  return {.name = "matmul " + name, .inputs = {{a}, {b}}, .apply = [options](const std::vector<Var>& in) {
            return matmul(in[0], in[1], options);
          }};
}

OpCase layer(std::string name, const Shape& x, const Shape& w, bool gelu = false, bool residual = false) {
  OpCase result{.name = "linear " + name,
                .inputs = {{x, -2, 2}, {w}, {{w[0]}}},
                .apply = [gelu](const std::vector<Var>& in) {
                  return linear(in[0], in[1], in[2], {gelu, in.size() > 3 ? in[3] : Var()});
                }};
  if (residual) result.inputs.push_back({x.with(-1, w[0])});
  return result;
}

}  // namespace

std::vector<OpCase> matmul_cases() {
  return {
      product("5x7 7x3", {5, 7}, {7, 3}),
      product("1x1 1x1", {1, 1}, {1, 1}),
      product("a transposed", {7, 5}, {7, 3}, {.transpose_a = true}),
      product("b transposed", {5, 7}, {3, 7}, {.transpose_b = true}),
      product("both transposed", {7, 5}, {3, 7}, {.transpose_a = true, .transpose_b = true}),
      product("row vector", {1, 33}, {33, 17}),
      product("column vector", {17, 33}, {33, 1}),
      product("larger than a cache block", {37, 65}, {65, 71}),
      product("batched", {3, 4, 5}, {3, 5, 2}),
      product("batched, a transposed", {3, 5, 4}, {3, 5, 2}, {.transpose_a = true}),
      product("batched, b transposed", {2, 3, 4, 5}, {2, 3, 6, 5}, {.transpose_b = true}),
      product("one right operand", {3, 4, 5}, {5, 2}),
      product("one right operand, both transposed", {3, 5, 4}, {2, 5},
              {.transpose_a = true, .transpose_b = true}),
      product("one left operand", {4, 5}, {3, 5, 2}),
      product("outer batch", {2, 1, 4, 3}, {5, 3, 2}),
      product("outer batch, transposed", {2, 1, 3, 4}, {5, 2, 3}, {.transpose_a = true, .transpose_b = true}),
      product("no batch", {0, 4, 3}, {0, 3, 2}),
      product("no rows", {0, 3}, {3, 2}),
      product("no terms", {4, 0}, {0, 2}),
      layer("2-D", {6, 5}, {3, 5}),
      layer("3-D", {2, 7, 19}, {11, 19}),
      layer("vector", {5}, {3, 5}),
      layer("no rows", {0, 5}, {3, 5}),
      layer("no inputs", {4, 0}, {3, 0}),
      layer("gelu", {19, 6}, {5, 6}, true),
      layer("gelu, few rows", {2, 6}, {5, 6}, true),
      layer("gelu, one output", {9, 6}, {1, 6}, true),
      layer("gelu, residual", {3, 7, 6}, {37, 6}, true, true),
      layer("residual", {3, 7, 19}, {11, 19}, false, true),
      layer("residual, few rows", {2, 6}, {5, 6}, false, true),
      layer("residual, no rows", {0, 5}, {3, 5}, true, true),
      {.name = "linear no bias",
       .inputs = {{{4, 9}}, {{2, 9}}},
       .apply = [](const std::vector<Var>& in) { return linear(in[0], in[1]); }},
  };
}

}  // namespace lathe
