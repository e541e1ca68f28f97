#include "autograd/ops/random.h"

#include "autograd/op_cases.h"

namespace lathe {

std::vector<OpCase> random_cases() {
  using Inputs = std::vector<Var>;
  static constexpr Philox kStream{.seed = 7, .stream = stream_id("case"), .step = 3};
  return {
      {.name = "dropout 0.3",
       .inputs = {{.shape = {5, 41}}},
       .apply = [](const Inputs& x) { return dropout(x[0], 0.3, kStream); }},
      {.name = "dropout from an odd offset",
       .inputs = {{.shape = {3, 7, 5}}},
       .apply = [](const Inputs& x) { return dropout(x[0], 0.5, kStream, 1234567); }},
      {.name = "dropout 0",
       .inputs = {{.shape = {4}}},
       .apply = [](const Inputs& x) { return dropout(x[0], 0, kStream); }},
      {.name = "dropout empty",
       .inputs = {{.shape = {0, 4}}},
       .apply = [](const Inputs& x) { return dropout(x[0], 0.3, kStream); }},
      {.name = "drop_path 0.4",
       .inputs = {{.shape = {9, 3, 5}}},
       .apply = [](const Inputs& x) { return drop_path(x[0], 0.4, kStream, 11); }},
  };
}

}  // namespace lathe
