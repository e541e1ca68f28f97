#pragma once
// The blocks of EfficientNet (Tan and Le 2019) and of the ImageNet MobileNets, as timm builds them.

#include <memory>

#include "layers/blocks.h"
#include "layers/dropout.h"
#include "layers/linear.h"
#include "layers/squeeze_excite.h"

namespace lathe {

/// A square kernel whose padding keeps the size but for the stride; weights from N(0, 2 / (kernel^2 out /
/// groups)).
Conv2dOptions efficientnet_conv(int64_t out, int64_t kernel, int64_t stride = 1, int64_t groups = 1);
/// Weights from U(+-1 / sqrt(out)), biases 0.
LinearOptions efficientnet_linear(int64_t out);

struct EfficientNetBlockOptions {
  int64_t in = 0, out = 0, kernel = 3, stride = 1;
  double expand = 1;   ///< channels between the pointwise convolutions of an inverted residual, per input
  double squeeze = 0;  ///< channels of the squeeze, per input channel of the block; 0: none
  double drop_path = 0;
};

/// Adds its input where the shape stays the same.
class EfficientNetBlock : public Module {
 public:
  EfficientNetBlock(Module& parent, std::string name, const EfficientNetBlockOptions& options)
      : Module(parent, std::move(name)), residual_(options.stride == 1 && options.in == options.out) {}
  virtual Var operator()(const Var& x) = 0;

 protected:
  /// bn(conv(x)), plus `input`, after drop-path, of a residual block.
  Var project(const ConvBn& layer, const DropPath& drop_path, const Var& x, const Var& input) const;

 private:
  bool residual_;
};

/// bn2(conv_pw(se(silu(bn1(conv_dw(x))))))
struct DepthwiseSeparable : EfficientNetBlock {
  DepthwiseSeparable(Module& parent, std::string name, const EfficientNetBlockOptions& options);
  const char* type() const override { return "DepthwiseSeparable"; }
  Var operator()(const Var& x) override;

  Conv2d conv_dw;
  BatchNorm bn1;
  std::unique_ptr<SqueezeExcite> se;
  Conv2d conv_pw;
  BatchNorm bn2;
  DropPath drop_path;
};

/// bn3(conv_pwl(se(silu(bn2(conv_dw(silu(bn1(conv_pw(x)))))))))
struct InvertedResidual : EfficientNetBlock {
  InvertedResidual(Module& parent, std::string name, const EfficientNetBlockOptions& options);
  const char* type() const override { return "InvertedResidual"; }
  Var operator()(const Var& x) override;

  int64_t hidden;
  Conv2d conv_pw;
  BatchNorm bn1;
  Conv2d conv_dw;
  BatchNorm bn2;
  std::unique_ptr<SqueezeExcite> se;
  Conv2d conv_pwl;
  BatchNorm bn3;
  DropPath drop_path;
};

}  // namespace lathe
