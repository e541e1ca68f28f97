// float16: IEEE half precision, rounded to nearest even, straight-through in training. A magnitude that
// rounds beyond 65504 is a DivergedError: saturating would hide a weight that has run away.

#include "core/half.h"
#include "quant/methods/encode.h"
#include "quant/methods/methods.h"
#include "quant/ops/ops.h"

namespace lathe {
namespace {

constexpr int kHalfBits = 16;

struct Float16Options {
  void fields(FieldVisitor&) {}
};

class Float16Quantizer : public Quantizer {
 public:
  Float16Quantizer(const Float16Options&, const Site& site) : Quantizer(site, "float16") {}

  Codes encode(const Tensor& raw) const override {
    const Tensor w = host_f32(raw);
    check_half(w, "float16");
    Codes codes =
        encode_elements(Decoder::Half, w, 0, [](float value, int64_t) { return float_to_half(value); });
    codes.bits = one_width(kHalfBits);
    return codes;
  }
  Var size_in_bits(const Var& raw) const override { return fixed_size(raw, kHalfBits); }

 protected:
  Var train(const Var& raw, const RunState&, uint32_t) override { return half_quantize(raw); }
};

}  // namespace

QuantizerRegistry::Entry float16_method() {
  return make_method<Float16Quantizer>("float16", "IEEE half precision", Float16Options());
}

}  // namespace lathe
