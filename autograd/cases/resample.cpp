#include "autograd/ops/resample.h"

#include "autograd/op_cases.h"

namespace lathe {
namespace {

OpCase by(std::string name, const Shape& x, int64_t from, int64_t to) {
  return {.name = "resample " + name, .inputs = {{x}}, .apply = [from, to](const std::vector<Var>& in) {
            return resample(in[0], from, to);
          }};
}

}  // namespace

std::vector<OpCase> resample_cases() {
  return {
      by("up 2", {2, 9, 3}, 1, 2),
      by("down 2", {2, 10, 2}, 2, 1),
      by("down 2, odd length", {1, 11, 1}, 2, 1),
      by("3 to 2", {1, 8, 2}, 6, 4),
      by("one sample", {1, 1, 2}, 1, 2),
      by("same rate", {1, 4, 1}, 3, 3),
      by("no rows", {0, 5, 2}, 1, 2),
      {.name = "resample_with filters",
       .inputs = {{{2, 7, 2}}},
       .apply = [](const std::vector<Var>& in) { return resample_with(in[0], resample_filters(2, 3), 2); }},
      {.name = "resample_valid",
       .inputs = {{{1, 120, 2}}},
       .apply = [](const std::vector<Var>& in) { return resample_valid(in[0], resample_filters(2, 1), 2); }},
  };
}

}  // namespace lathe
