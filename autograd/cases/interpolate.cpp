#include "autograd/ops/interpolate.h"

#include "autograd/op_cases.h"

namespace lathe {
namespace {

OpCase resize(std::string name, const Shape& x, std::vector<int64_t> size, Interpolation mode) {
  return {.name = "interpolate " + name, .inputs = {{x}}, .apply = [size, mode](const std::vector<Var>& in) {
            return interpolate(in[0], size, mode);
          }};
}

}  // namespace

std::vector<OpCase> interpolate_cases() {
  return {
      resize("nearest", {2, 3, 5, 2}, {7, 2}, Interpolation::Nearest),
      resize("linear", {2, 5, 3}, {9}, Interpolation::Linear),
      resize("bilinear, down", {1, 7, 4, 3}, {3, 3}, Interpolation::Linear),
      resize("bicubic", {2, 4, 4, 2}, {6, 5}, Interpolation::Cubic),
      resize("bicubic of one pixel", {1, 1, 1, 3}, {3, 2}, Interpolation::Cubic),
      resize("bicubic, one axis as it is", {1, 4, 5, 1}, {2, 5}, Interpolation::Cubic),
      resize("no samples", {0, 4, 3, 2}, {2, 2}, Interpolation::Linear),
  };
}

}  // namespace lathe
