#include "autograd/ops/pool.h"

#include "autograd/op_cases.h"

namespace lathe {
namespace {

using Inputs = std::vector<Var>;

// Inputs are random in a wide range: two elements of a window closer than the difference's step are
// improbable.
OpCase image_case(const char* name, const Shape& shape, std::function<Var(const Var&)> apply) {
  return {.name = name,
          .inputs = {{.shape = shape, .lo = -10, .hi = 10}},
          .apply = [apply = std::move(apply)](const Inputs& x) { return apply(x[0]); }};
}

void add_2d(std::vector<OpCase>& cases, const char* op, Var (*apply)(const Var&, const Pool2dOptions&)) {
  const auto add = [&](const char* what, const Shape& shape, const Pool2dOptions& options) {
    cases.push_back(image_case(concat(op, " ", what).c_str(), shape,
                               [apply, options](const Var& x) { return apply(x, options); }));
  };
  const Pool2dOptions two{.kernel_h = 2, .kernel_w = 2, .stride_h = 2, .stride_w = 2};
  Pool2dOptions three{.kernel_h = 3, .kernel_w = 3, .stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1};
  add("2x2 stride 2", {2, 4, 6, 5}, two);
  add("3x3 stride 2 pad 1", {2, 7, 6, 19}, three);
  three.ceil_mode = true;
  add("3x3 stride 2 pad 1 ceil", {1, 6, 8, 3}, three);
  three.count_include_pad = false;
  add("3x3 stride 2 pad 1 ceil without padding", {1, 6, 8, 3}, three);
  add("overlapping 3x2", {1, 5, 6, 4}, {.kernel_h = 3, .kernel_w = 2});
  add("ceil with a gap", {1, 7, 7, 2},
      {.kernel_h = 2, .kernel_w = 2, .stride_h = 4, .stride_w = 3, .ceil_mode = true});
  add("no images", {0, 4, 4, 3}, two);
}

void add_1d(std::vector<OpCase>& cases, const char* op, Var (*apply)(const Var&, const Pool1dOptions&)) {
  cases.push_back(image_case(concat(op, " 3 stride 2 pad 1").c_str(), {2, 9, 5}, [apply](const Var& x) {
    return apply(x, {.kernel = 3, .stride = 2, .padding = 1});
  }));
  cases.push_back(image_case(concat(op, " ceil").c_str(), {2, 8, 3}, [apply](const Var& x) {
    return apply(x, {.kernel = 3, .stride = 2, .ceil_mode = true, .count_include_pad = false});
  }));
}

}  // namespace

std::vector<OpCase> pool_cases() {
  std::vector<OpCase> cases;
  add_2d(cases, "max_pool2d", max_pool2d);
  add_2d(cases, "avg_pool2d", avg_pool2d);
  add_1d(cases, "max_pool1d", max_pool1d);
  add_1d(cases, "avg_pool1d", avg_pool1d);
  const auto avg = [](int64_t h, int64_t w) {
    return [h, w](const Var& x) { return adaptive_avg_pool2d(x, h, w); };
  };
  const auto max = [](int64_t h, int64_t w) {
    return [h, w](const Var& x) { return adaptive_max_pool2d(x, h, w); };
  };
  cases.push_back(image_case("adaptive_avg_pool2d to 2x3", {2, 5, 7, 3}, avg(2, 3)));
  cases.push_back(image_case("adaptive_avg_pool2d to 1x1", {2, 3, 4, 17}, avg(1, 1)));
  cases.push_back(image_case("adaptive_avg_pool2d upwards", {1, 2, 3, 2}, avg(5, 4)));
  cases.push_back(image_case("adaptive_max_pool2d to 2x2", {2, 5, 5, 3}, max(2, 2)));
  cases.push_back(image_case("global_avg_pool2d", {3, 4, 5, 9}, global_avg_pool2d));
  return cases;
}

}  // namespace lathe
