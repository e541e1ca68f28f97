#include "autograd/ops/conv_chain.h"

#include "autograd/op_cases.h"
#include "autograd/ops/elementwise.h"

namespace lathe {
namespace {

using Inputs = std::vector<Var>;

struct LayerRow {
  Shape w;
  Conv2dGeometry geometry = {};
};

enum class Residual : uint8_t { None, Input, Other };

struct ChainRow {
  Shape x;
  std::vector<LayerRow> layers;
  bool relu = true, affine = true;
  Residual residual = Residual::None;
  Shape y = {};  ///< of another residual
};

/// relu's kink is out of reach: beta lifts two channels above it for every sample, and drops the third below.
Var away_from_kink(const Var& beta) {
  std::vector<double> signs;
  for (int64_t c = 0; c < beta.dim(0); ++c) signs.push_back(c % 3 == 2 ? -1 : 1);
  return mul(beta, Var(Tensor::from(signs, beta.shape()).to(beta.dtype()).to(beta.data().device())));
}

Var apply(const ChainRow& row, const Inputs& in) {
  std::vector<ChainLayer> layers;
  size_t next = 1;
  for (const LayerRow& layer : row.layers) {
    ChainLayer& chain = layers.emplace_back();
    chain.w = in[next++];
    if (row.affine) chain.gamma = in[next++];
    if (row.affine) chain.beta = away_from_kink(in[next++]);
    chain.geometry = layer.geometry;
  }
  ChainEnd end{.relu = row.relu};
  if (row.residual == Residual::Input) end.residual = in[0];
  if (row.residual == Residual::Other) end.residual = in.back();
  return conv_bn_chain(in[0], layers, end);
}

// Inputs: x, then each layer's w, gamma and beta, then a residual of its own.
OpCase chain(std::string name, const ChainRow& row) {
  OpCase result{.name = "conv_bn_chain " + name, .inputs = {{row.x}}, .apply = {}};
  for (size_t l = 0; l < row.layers.size(); ++l) {
    const Shape& w = row.layers[l].w;
    // The gradient of a beta is exactly zero where a 1x1 convolution and a norm follow and relu bends
    // nothing.
    const bool shifted_away = l + 1 < row.layers.size() && row.layers[l + 1].w[1] == 1;
    result.inputs.push_back({w});
    if (row.affine) result.inputs.push_back({{w[0]}, 0.1, 0.3});
    if (row.affine) result.inputs.push_back({{w[0]}, 4, 5, !shifted_away});
  }
  if (row.residual == Residual::Other) result.inputs.push_back({row.y});
  // A norm sees what varies of relu(4.5 +- 0.2): float32 loses an order of magnitude there.
  if (row.layers.size() > 1 && row.affine) result.nmse = 1e-8;
  result.apply = [row](const Inputs& in) { return apply(row, in); };
  return result;
}

constexpr Conv2dGeometry kSame{.pad_h = 1, .pad_w = 1};
constexpr Conv2dGeometry kHalf{.stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1};

Conv2dGeometry depthwise(Conv2dGeometry geometry, int64_t channels) {
  geometry.groups = channels;
  return geometry;
}

}  // namespace

std::vector<OpCase> conv_chain_cases() {
  OpCase frozen = chain("frozen parameters",
                        {.x = {2, 4, 5, 3}, .layers = {{{5, 3, 3, 3}, kSame}, {{4, 3, 3, 5}, kSame}}});
  for (const size_t i : {size_t{1}, size_t{5}, size_t{6}}) frozen.inputs[i].requires_grad = false;
  OpCase images =
      chain("of images", {.x = {2, 6, 9, 3}, .layers = {{{16, 3, 3, 3}, kSame}, {{7, 1, 1, 16}}}});
  images.inputs[0].requires_grad = false;
  return {
      chain("1 layer", {.x = {2, 5, 9, 16}, .layers = {{{16, 3, 3, 16}, kSame}}}),
      chain("1 layer, no relu", {.x = {2, 4, 5, 5}, .layers = {{{7, 3, 3, 5}, kSame}}, .relu = false}),
      chain("1 layer, no affine",
            {.x = {2, 4, 5, 5}, .layers = {{{7, 3, 3, 5}, kSame}}, .relu = false, .affine = false}),
      chain("basic block", {.x = {2, 5, 8, 16},
                            .layers = {{{16, 3, 3, 16}, kSame}, {{16, 3, 3, 16}, kSame}},
                            .residual = Residual::Input}),
      chain("basic block, stride 2", {.x = {2, 8, 10, 8},
                                      .layers = {{{12, 3, 3, 8}, kHalf}, {{12, 3, 3, 12}, kSame}},
                                      .residual = Residual::Other,
                                      .y = {2, 4, 5, 12}}),
      chain("basic block, no relu", {.x = {3, 4, 4, 6},
                                     .layers = {{{6, 3, 3, 6}, kSame}, {{6, 3, 3, 6}, kSame}},
                                     .relu = false,
                                     .residual = Residual::Input}),
      chain("residual of its own, no relu", {.x = {2, 4, 4, 6},
                                             .layers = {{{6, 3, 3, 6}, kSame}},
                                             .relu = false,
                                             .residual = Residual::Other,
                                             .y = {2, 4, 4, 6}}),
      chain("bottleneck", {.x = {2, 4, 5, 20},
                           .layers = {{{6, 1, 1, 20}}, {{6, 3, 3, 6}, kSame}, {{20, 1, 1, 6}}},
                           .residual = Residual::Input}),
      chain("separable",
            {.x = {2, 5, 6, 18}, .layers = {{{18, 3, 3, 1}, depthwise(kSame, 18)}, {{9, 1, 1, 18}}}}),
      chain("separable, stride 2, multiplier 2",
            {.x = {2, 6, 7, 6},
             .layers = {{{6, 1, 1, 6}}, {{12, 3, 3, 1}, depthwise(kHalf, 6)}, {{5, 1, 1, 12}}}}),
      chain("groups", {.x = {2, 5, 6, 6},
                       .layers = {{{8, 3, 3, 3}, depthwise(kSame, 2)}, {{6, 3, 3, 4}, depthwise(kSame, 2)}}}),
      chain("narrow images", {.x = {5, 4, 4, 9}, .layers = {{{6, 3, 3, 9}, kSame}, {{17, 3, 3, 6}, kSame}}}),
      chain("one image", {.x = {1, 7, 9, 4}, .layers = {{{5, 3, 3, 4}, kHalf}, {{3, 3, 3, 5}, kSame}}}),
      chain("1x1 stride 2",
            {.x = {2, 5, 9, 5}, .layers = {{{4, 1, 1, 5}}, {{6, 1, 1, 4}, {.stride_h = 2, .stride_w = 2}}}}),
      chain("few channels inside",
            {.x = {2, 5, 6, 4}, .layers = {{{3, 3, 3, 4}, kSame}, {{5, 3, 3, 3}, kSame}}}),
      chain("empty batch", {.x = {0, 4, 4, 3}, .layers = {{{4, 3, 3, 3}, kSame}, {{4, 3, 3, 4}, kSame}}}),
      frozen,
      images,
  };
}

}  // namespace lathe
