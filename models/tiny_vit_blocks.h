#pragma once
// The blocks of TinyViT (Wu et al. 2022), on maps (N, H, W, C).

#include "layers/conv_bn.h"
#include "layers/dropout.h"
#include "layers/relative_attention.h"

namespace lathe {

/// Linear weights from a truncated N(0, 0.02^2), biases 0.
LinearOptions tiny_vit_linear();

/// gelu(x + conv3(gelu(conv2(gelu(conv1(x)))))): expansion by 4, depthwise 3x3, projection, each with its
/// batch norm; the last norm's weight starts from 0.
struct MbConv : Module {
  MbConv(Module& parent, std::string name, int64_t width, double drop_rate);
  const char* type() const override { return "MbConv"; }
  Var operator()(const Var& x);

  ConvBnUnit conv1, conv2, conv3;
  DropPath drop_path;
};

/// conv3(gelu(conv2(gelu(conv1(x))))): pointwise, depthwise 3x3 of stride 2, pointwise.
struct PatchMerging : Module {
  PatchMerging(Module& parent, std::string name, int64_t in, int64_t out);
  const char* type() const override { return "PatchMerging"; }
  Var operator()(const Var& x);

  ConvBnUnit conv1, conv2, conv3;
};

/// x + fc2(gelu(fc1(norm(x)))), point by point; the hidden layer is 4 times as wide.
struct TinyVitMlp : Module {
  TinyVitMlp(Module& parent, std::string name, int64_t width);
  const char* type() const override { return "TinyVitMlp"; }
  Var branch(const Var& x, const Var& residual);  ///< without the sum where residual is undefined

  LayerNorm norm;
  Linear fc1, fc2;
};

struct TinyVitBlockOptions {
  int64_t width = 1, heads = 1, window = 7;
  double drop_path = 0;
};

/// x + attention in windows; then the depthwise convolution local_conv; then the perceptron.
struct TinyVitBlock : Module {
  TinyVitBlock(Module& parent, std::string name, const TinyVitBlockOptions& options);
  const char* type() const override { return "TinyVitBlock"; }
  Var operator()(const Var& x);

  int64_t window;
  RelativeAttention attn;
  TinyVitMlp mlp;
  ConvBnUnit local_conv;
  DropPath drop_path1, drop_path2;
};

}  // namespace lathe
