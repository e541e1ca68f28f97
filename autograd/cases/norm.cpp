#include "autograd/ops/norm.h"

#include "autograd/op_cases.h"
#include "autograd/ops/elementwise.h"

namespace lathe {
namespace {

struct NormRow {
  bool affine = true, residual = false;
  BatchNormOptions options = {};
};

/// Running statistics unlike the batch's.
Tensor ramp(int64_t channels, double first, double step, DType dtype) {
  std::vector<double> values;
  for (int64_t c = 0; c < channels; ++c) values.push_back(first + step * static_cast<double>(c));
  return Tensor::from(values, {channels}).to(dtype);
}

// Inputs: x, then gamma and beta, then the residual.
OpCase batch(std::string name, const Shape& x, const NormRow& row = {}) {
  const int64_t channels = x[-1];
  OpCase result{.name = "batch_norm " + name, .inputs = {{x}}, .apply = {}};
  if (row.affine) {
    result.inputs.push_back({{channels}, 0.5, 1.5});
    result.inputs.push_back({{channels}});
  }
  if (row.residual) result.inputs.push_back({x});
  result.apply = [row, channels](const std::vector<Var>& in) {
    const Var none;
    const DType dtype = in[0].dtype();
    Tensor mean, var;
    if (!row.options.training) {
      mean = ramp(channels, -0.2, 0.1, dtype).to(in[0].data().device());
      var = ramp(channels, 0.4, 0.05, dtype).to(in[0].data().device());
    }
    return batch_norm(in[0], row.affine ? in[1] : none, row.affine ? in[2] : none, mean, var, row.options,
                      row.residual ? in.back() : none);
  };
  return result;
}

/// relu's kink is out of reach: beta lifts two channels above it for every sample, and drops the third below.
OpCase rectified(std::string name, const Shape& x, NormRow row) {
  row.options.relu = true;
  OpCase result = batch(std::move(name), x, row);
  const auto apply = result.apply;
  const int64_t channels = x[-1];
  result.inputs[1] = {{channels}, 0.1, 0.3};
  result.inputs[2] = {{channels}, 4, 5};
  result.apply = [apply, channels](const std::vector<Var>& in) {
    std::vector<Var> moved = in;
    std::vector<double> signs;
    for (int64_t c = 0; c < channels; ++c) signs.push_back(c % 3 == 2 ? -1 : 1);
    const Tensor sign = Tensor::from(signs, {channels}).to(in[2].dtype()).to(in[2].data().device());
    moved[2] = mul(in[2], Var(sign));
    return apply(moved);
  };
  return result;
}

OpCase layer(std::string name, const Shape& x, bool affine = true) {
  OpCase result{.name = "layer_norm " + name, .inputs = {{x}}, .apply = {}};
  if (affine) {
    result.inputs.push_back({{x[-1]}, 0.5, 1.5});
    result.inputs.push_back({{x[-1]}});
  }
  result.apply = [affine](const std::vector<Var>& in) {
    return affine ? layer_norm(in[0], in[1], in[2]) : layer_norm(in[0], {}, {});
  };
  return result;
}

OpCase group(std::string name, const Shape& x, int64_t groups, bool affine = true) {
  OpCase result = layer("", x, affine);
  result.name = "group_norm " + name;
  result.apply = [affine, groups](const std::vector<Var>& in) {
    return affine ? group_norm(in[0], in[1], in[2], groups) : group_norm(in[0], {}, {}, groups);
  };
  return result;
}

}  // namespace

std::vector<OpCase> norm_cases() {
  const BatchNormOptions training = {}, evaluation = {.training = false};
  return {
      batch("images", {2, 3, 5, 4}),
      batch("3 channels, odd", {3, 7, 3}),
      batch("1 channel", {17, 1}),
      batch("2-D, 33 channels", {9, 33}),
      batch("more channels than a block", {5, 600}),
      batch("no affine", {6, 5}, {.affine = false}),
      batch("residual", {4, 3, 5}, {.residual = true}),
      batch("eps 1e-3", {4, 6}, {.options = {.eps = 1e-3}}),
      batch("evaluation", {2, 3, 3, 5}, {.options = evaluation}),
      batch("evaluation, no affine", {6, 5}, {.affine = false, .options = evaluation}),
      batch("evaluation, residual", {6, 5}, {.residual = true, .options = evaluation}),
      batch("no rows", {0, 3, 4}),
      rectified("relu", {5, 4, 4}, {.options = training}),
      rectified("relu, residual", {5, 4, 7}, {.residual = true, .options = training}),
      rectified("relu, evaluation", {5, 4, 4}, {.options = evaluation}),
      rectified("relu, residual, evaluation", {5, 4, 3}, {.residual = true, .options = evaluation}),
      layer("rows of 6", {2, 3, 6}),
      layer("rows of 3", {4, 3}),
      layer("rows of 67", {5, 67}),
      layer("no affine", {3, 19}, false),
      layer("one row", {33}),
      layer("no rows", {0, 8}),
      {.name = "layer_norm weight only",
       .inputs = {{{4, 10}}, {{10}, 0.5, 1.5}},
       .apply = [](const std::vector<Var>& in) { return layer_norm(in[0], in[1], {}); }},
      group("one group", {2, 5, 4}, 1),
      group("two groups", {3, 4, 2, 6}, 2),
      group("one channel each", {2, 7, 3}, 3),
      group("no affine", {2, 3, 4}, 2, false),
      group("no samples", {0, 3, 4}, 2),
  };
}

}  // namespace lathe
