// DiffQ (Defossez et al. 2022): pseudo quantization noise while training, learned bits for each group;
// methods.md section 3.

#include <algorithm>
#include <cmath>

#include "layers/init.h"
#include "quant/math/minmax.h"
#include "quant/methods/encode.h"
#include "quant/methods/methods.h"
#include "quant/ops/ops.h"

namespace lathe {
namespace {

struct DiffqOptions {
  int64_t group = 8;
  std::string order = "storage";
  double min_bits = 2, init_bits = 8, max_bits = 15;
  bool learn_bits = true;
  std::string param = "bits";
  std::string noise = "gaussian";
  double extra_bits = 0;
  bool grad_through_range = true;
  void fields(FieldVisitor& v) {
    v.visit("group", group, {.doc = "consecutive elements with one width; 0: the whole tensor", .min = 0});
    v.visit("order", order, {.doc = kOrderDoc, .choices = {"storage", "pytorch"}});
    v.visit("min_bits", min_bits, {.doc = "lower bound of the width", .min = 1, .max = 15});
    v.visit("init_bits", init_bits, {.doc = "width at the start", .min = 1, .max = 15});
    v.visit("max_bits", max_bits, {.doc = "upper bound of the width", .min = 1, .max = 15});
    v.visit("learn_bits", learn_bits, {.doc = "widths are trained; else they stay at init_bits"});
    v.visit("param", param,
            {.doc = "what a logit interpolates: the bits, or the noise's logarithm",
             .choices = {"bits", "noise"}});
    v.visit("noise", noise, {.doc = "the noise's law", .choices = {"gaussian", "uniform"}});
    v.visit("extra_bits", extra_bits, {.doc = "added to the width at evaluation", .min = -15, .max = 15});
    v.visit("grad_through_range", grad_through_range,
            {.doc = "the gradient also flows through the largest and the least weight"});
  }
};

class DiffqQuantizer : public Quantizer {
 public:
  DiffqQuantizer(const DiffqOptions& options, const Site& site)
      : Quantizer(site, "diffq"),
        options_(options),
        grouping_(grouping_of(site.parameter, options.group, options.order)),
        widths_{options.min_bits, options.max_bits, options.param == "noise"},
        logits_(*this, "bits",
                {.shape = {quant::Groups(site.parameter.numel(), options.group).count()},
                 .init = init::constant(diffq_logit(options.init_bits, widths_)),
                 .role = Role::Bits}) {}

  Codes encode(const Tensor& raw) const override {
    const Tensor w = grouping_.gather(Var(host_f32(raw))).data();
    const GroupRange range = group_span(w, 0, "diffq");
    const float lo = range.lo.item(), span = static_cast<float>(range.hi.item()) - lo;
    const Tensor bits =
        diffq_whole_bits(logits_.raw().data(), widths_, options_.extra_bits).to(Device::cpu());
    const uint8_t* width = bits.ptr<uint8_t>();
    Codes codes = encode_elements(Decoder::Range, w, options_.group, [&](float value, int64_t g) {
      return quant::minmax_code(value, static_cast<float>((1 << width[g]) - 1), span, lo);
    });
    codes.bits = bits;
    codes.offset = range.lo;
    codes.scale = Tensor::full({1}, span);
    return grouping_.scatter(std::move(codes));
  }
  Var size_in_bits(const Var& raw) const override {
    return diffq_size(diffq_bits(logits(), widths_), raw.data().numel(), options_.group, options_.min_bits,
                      options_.extra_bits);
  }
  bool rounds() const override { return false; }
  Limits limits() const override {
    if (!options_.learn_bits) return {};
    const auto whole = [&](double bits) {
      return static_cast<int>(std::clamp(std::rint(bits + options_.extra_bits), 1.0, 15.0));
    };
    return {.least_bits = whole(options_.min_bits), .most_bits = whole(options_.max_bits)};
  }
  // LayerDrop: a weight that took no part in the step does not lose bits to the size penalty.
  void before_update(const Moment&) override {
    Tensor& own = logits_.raw().grad();
    if (!own.defined()) return;
    const Tensor& gradient = parameter().raw().grad();
    if (gradient.defined() && gradient.device().type != DeviceType::Cpu) {
      // Nobody waits to look: the widths' gradient becomes 0, and the optimizer's momentum goes on.
      Tensor kept = own.clone();
      kernels::drop_if_unused(kept, gradient);
      own = kept;
      return;
    }
    if (!gradient.defined() || is_zero(gradient)) own = Tensor();
  }

 protected:
  Var train(const Var& raw, const RunState& run, uint32_t stream) override {
    const kernels::NoiseSource noise{.philox = {run.seed, stream, run.step},
                                     .gaussian = options_.noise == "gaussian"};
    return grouping_.scatter(diffq_noise(grouping_.gather(raw), diffq_unit(logits(), widths_), noise,
                                         options_.group, options_.grad_through_range));
  }

 private:
  Var logits() const { return options_.learn_bits ? logits_.raw() : logits_.raw().detach(); }

  static bool is_zero(const Tensor& tensor) {
    bool zero = true;
    dispatch_floating(tensor.dtype(), "diffq", [&]<class T>() {
      const T* x = tensor.ptr<T>();  // the first element tells, unless all are 0
      zero = std::all_of(x, x + tensor.numel(), [](T value) { return value == T(0); });
    });
    return zero;
  }

  DiffqOptions options_;
  Grouping grouping_;
  kernels::DiffqWidths widths_;
  Parameter logits_;
};

}  // namespace

QuantizerRegistry::Entry diffq_method() {
  return make_method<DiffqQuantizer>("diffq", "DiffQ: quantization noise with learned bits", DiffqOptions());
}

}  // namespace lathe
