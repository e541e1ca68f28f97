#include "autograd/ops/conv.h"

#include "autograd/op_cases.h"

namespace lathe {
namespace {

using Inputs = std::vector<Var>;

OpCase conv2d_case(const char* name, const Shape& x, const Shape& w, const Conv2dGeometry& g) {
  return {.name = name, .inputs = {{x}, {w}, {{w[0]}}}, .apply = [g](const Inputs& v) {
            return conv2d(v[0], v[1], v[2], g);
          }};
}
OpCase conv1d_case(const char* name, const Shape& x, const Shape& w, const Conv1dGeometry& g) {
  return {.name = name, .inputs = {{x}, {w}, {{w[0]}}}, .apply = [g](const Inputs& v) {
            return conv1d(v[0], v[1], v[2], g);
          }};
}
OpCase transpose2d_case(const char* name, const Shape& x, const Shape& w, const ConvTranspose2dGeometry& g) {
  return {.name = name, .inputs = {{x}, {w}, {{w[3] * g.conv.groups}}}, .apply = [g](const Inputs& v) {
            return conv_transpose2d(v[0], v[1], v[2], g);
          }};
}
OpCase transpose1d_case(const char* name, const Shape& x, const Shape& w, const ConvTranspose1dGeometry& g) {
  return {.name = name, .inputs = {{x}, {w}, {{w[2] * g.groups}}}, .apply = [g](const Inputs& v) {
            return conv_transpose1d(v[0], v[1], v[2], g);
          }};
}
OpCase without_bias(OpCase op_case) {
  op_case.name += " without bias";
  op_case.inputs.pop_back();
  op_case.apply = [apply = std::move(op_case.apply)](const Inputs& v) { return apply({v[0], v[1], Var()}); };
  return op_case;
}

constexpr Conv2dGeometry same3{.pad_h = 1, .pad_w = 1};

}  // namespace

std::vector<OpCase> conv_cases() {
  return {
      conv2d_case("conv2d 1x1", {2, 4, 5, 18}, {20, 1, 1, 18}, {}),
      conv2d_case("conv2d 1x1 stride 2", {2, 5, 9, 5}, {4, 1, 1, 5}, {.stride_h = 2, .stride_w = 2}),
      conv2d_case("conv2d 3x3", {2, 5, 9, 16}, {16, 3, 3, 16}, same3),
      without_bias(conv2d_case("conv2d 3x3", {2, 5, 6, 5}, {7, 3, 3, 5}, same3)),
      conv2d_case("conv2d 3x3 odd channels", {1, 4, 9, 17}, {19, 3, 3, 17}, same3),
      conv2d_case("conv2d 3x3 Winograd", {2, 8, 8, 16}, {16, 3, 3, 16}, same3),
      conv2d_case("conv2d 3x3 Winograd, ragged tiles", {2, 7, 5, 32}, {16, 3, 3, 32}, same3),
      conv2d_case("conv2d 3x3 narrow images", {5, 4, 4, 9}, {6, 3, 3, 9}, same3),
      conv2d_case("conv2d first layer", {2, 6, 9, 3}, {16, 3, 3, 3}, same3),
      conv2d_case("conv2d 3x3 stride 2", {2, 8, 10, 8}, {12, 3, 3, 8}, {2, 2, 1, 1, 1, 1, 1}),
      conv2d_case("conv2d 7x7 stride 2", {1, 11, 12, 3}, {6, 7, 7, 3}, {2, 2, 3, 3, 1, 1, 1}),
      conv2d_case("conv2d truncated last window", {2, 6, 8, 4}, {3, 3, 3, 4}, {2, 2, 0, 0, 1, 1, 1}),
      conv2d_case("conv2d even kernel", {1, 5, 6, 4}, {5, 2, 2, 4}, same3),
      conv2d_case("conv2d stride beyond the kernel", {1, 9, 8, 3}, {4, 2, 2, 3}, {3, 3, 0, 0, 1, 1, 1}),
      conv2d_case("conv2d patches", {2, 8, 8, 3}, {6, 4, 4, 3}, {4, 4, 0, 0, 1, 1, 1}),
      conv2d_case("conv2d asymmetric", {1, 7, 9, 4}, {5, 2, 4, 4}, {1, 3, 2, 1, 1, 1, 1}),
      conv2d_case("conv2d dilation 2", {1, 8, 9, 9}, {4, 3, 3, 9}, {1, 1, 2, 2, 2, 2, 1}),
      conv2d_case("conv2d dilation 2, 3, stride 2", {1, 9, 12, 2}, {3, 3, 2, 2}, {2, 2, 1, 2, 2, 3, 1}),
      conv2d_case("conv2d groups", {2, 5, 6, 6}, {4, 3, 3, 3}, {1, 1, 1, 1, 1, 1, 2}),
      conv2d_case("conv2d depthwise", {2, 5, 6, 18}, {18, 3, 3, 1}, {1, 1, 1, 1, 1, 1, 18}),
      conv2d_case("conv2d depthwise 5x5 stride 2", {1, 8, 9, 7}, {7, 5, 5, 1}, {2, 2, 2, 2, 1, 1, 7}),
      conv2d_case("conv2d depthwise multiplier 2", {2, 5, 6, 3}, {6, 3, 3, 1}, {1, 1, 1, 1, 1, 1, 3}),
      conv2d_case("conv2d one column", {1, 6, 1, 18}, {15, 3, 1, 18}, {.pad_h = 1}),
      conv2d_case("conv2d one column of two", {1, 5, 2, 9}, {12, 3, 2, 9}, {.pad_h = 1}),
      conv2d_case("conv2d that meets no pixel", {1, 1, 1, 2}, {1, 1, 2, 2}, {2, 2, 1, 1, 1, 1, 1}),
      conv2d_case("conv2d empty batch", {0, 5, 6, 3}, {4, 3, 3, 3}, same3),
      conv1d_case("conv1d 1x1", {2, 9, 5}, {6, 1, 5}, {}),
      conv1d_case("conv1d kernel 8 stride 4", {2, 40, 3}, {5, 8, 3}, {.stride = 4}),
      conv1d_case("conv1d padding and dilation", {2, 17, 6}, {4, 3, 6}, {.padding = 2, .dilation = 2}),
      conv1d_case("conv1d depthwise", {2, 13, 6}, {6, 5, 1}, {.padding = 2, .groups = 6}),
      without_bias(conv1d_case("conv1d one channel", {2, 30, 1}, {4, 8, 1}, {.stride = 4, .padding = 2})),
      transpose2d_case("conv_transpose2d kernel 3 stride 2", {2, 4, 5, 6}, {6, 3, 3, 4},
                       {{2, 2, 1, 1, 1, 1, 1}, 1, 1}),
      transpose2d_case("conv_transpose2d groups", {1, 4, 5, 6}, {6, 2, 3, 2}, {{1, 2, 0, 1, 2, 1, 3}, 1, 0}),
      transpose2d_case("conv_transpose2d that meets no pixel", {1, 2, 2, 16}, {16, 1, 1, 3},
                       {{2, 2, 1, 1, 1, 1, 1}, 0, 0}),
      without_bias(transpose2d_case("conv_transpose2d 1x1", {2, 4, 5, 6}, {6, 1, 1, 3}, {})),
      transpose2d_case("conv_transpose2d 3x3 Winograd", {2, 5, 4, 16}, {16, 3, 3, 16}, {same3}),
      transpose1d_case("conv_transpose1d kernel 8 stride 4", {2, 9, 6}, {6, 8, 3}, {.stride = 4}),
      transpose1d_case("conv_transpose1d stride 1", {2, 9, 5}, {5, 3, 4}, {.padding = 1}),
      transpose1d_case("conv_transpose1d groups and dilation", {2, 8, 6}, {6, 3, 2},
                       {.stride = 2, .padding = 1, .dilation = 2, .groups = 2, .output_padding = 1}),
      transpose1d_case("conv_transpose1d kernel 1, output padding", {2, 5, 6}, {6, 1, 3},
                       {.dilation = 2, .output_padding = 1}),
      transpose2d_case("conv_transpose2d 1x1, output padding beyond the stride", {2, 3, 4, 64},
                       {64, 1, 1, 65}, {{2, 2, 0, 0, 4, 3, 1}, 3, 2}),
      transpose2d_case("conv_transpose2d dilation 3, output padding", {1, 4, 5, 6}, {6, 3, 2, 4},
                       {{1, 1, 1, 1, 3, 3, 1}, 2, 1}),
      transpose1d_case("conv_transpose1d empty batch", {0, 8, 6}, {6, 3, 2}, {}),
  };
}

}  // namespace lathe
