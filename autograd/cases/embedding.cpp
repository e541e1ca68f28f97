#include "autograd/ops/embedding.h"

#include "autograd/op_cases.h"

namespace lathe {
namespace {

OpCase embedding_case(const char* name, const Shape& weight, const std::vector<int64_t>& indices,
                      const Shape& shape, int64_t padding_idx = -1) {
  return {.name = name,
          .inputs = {{.shape = weight}},
          .apply = [indices, shape, padding_idx](const std::vector<Var>& x) {
            const Tensor index = Tensor::from(indices, shape).to(x[0].data().device());
            return embedding(x[0], index, padding_idx);
          }};
}

}  // namespace

std::vector<OpCase> embedding_cases() {
  return {
      embedding_case("embedding", {6, 5}, {3, 0, 5, 3, 3, 1}, {2, 3}),
      embedding_case("embedding wide", {4, 37}, {2, 2, 0}, {3}),
      embedding_case("embedding of nothing", {4, 3}, {}, {2, 0}),
      // The padded row is read and gets no gradient: the rule is not its derivative, so no index names it
      // here.
      embedding_case("embedding with padding", {5, 3}, {1, 0, 4, 1}, {4}, 2),
  };
}

}  // namespace lathe
