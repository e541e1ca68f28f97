// Ternary weights, as in BitNet b1.58 (Ma et al. 2024): scale mean |w|, codes -1, 0 and 1.

#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "quant/math/lsq.h"
#include "quant/methods/encode.h"
#include "quant/methods/methods.h"
#include "quant/ops/ops.h"

namespace lathe {
namespace {

struct TernaryOptions {
  double least_scale = 1e-8;
  void fields(FieldVisitor& v) {
    v.visit("least_scale", least_scale, {.doc = "scale of a tensor of zeros", .min = 0, .above_min = true});
  }
};

class TernaryQuantizer : public Quantizer {
 public:
  TernaryQuantizer(const TernaryOptions& options, const Site& site)
      : Quantizer(site, "ternary"), least_scale_(options.least_scale) {}

  Codes encode(const Tensor& raw) const override {
    const NoGrad no_grad;
    const Tensor w = host_f32(raw), scale = host_f32(scale_of(Var(raw)).data());
    group_range(w, 0, "ternary");  // refuses NaN and infinities
    Codes codes = encode_elements(Decoder::Affine, w, 0, [s = scale.item()](float x, int64_t) {
      return quant::lsq_code(x, static_cast<float>(s), 0.0f, -1.0f, 1.0f);
    });
    codes.bits = one_width(2);
    codes.scale = scale;
    return codes;
  }
  Var size_in_bits(const Var& raw) const override { return fixed_size(raw, 2); }

 protected:
  Var train(const Var& raw, const RunState&, uint32_t) override {
    return lsq_quantize(raw, scale_of(raw), {.lo = -1, .hi = 1});
  }

 private:
  Var scale_of(const Var& w) const { return reshape(clamp(mean(abs(w)), least_scale_, 1e30), {1}); }
  double least_scale_;
};

}  // namespace

QuantizerRegistry::Entry ternary_method() {
  return make_method<TernaryQuantizer>("ternary", "BitNet's ternary weights", TernaryOptions());
}

}  // namespace lathe
