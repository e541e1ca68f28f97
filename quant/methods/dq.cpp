// DQ (Uhlich et al. 2020): a learned step and a learned range, which together say the bits; methods.md
// section 7. The released form rounds the step to a power of two. Of the paper's U3 the range is rounded to a
// code here, in training too: an integer code cannot stand for a value between codes.
//
// The penalty on the model's size is the regulariser `size`. The gradients of step and range are clipped to
// [-step, step], which the released code does while a constraint on the size is set.

#include "quant/math/dq.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/elementwise.h"
#include "layers/init.h"
#include "quant/methods/encode.h"
#include "quant/methods/methods.h"
#include "quant/ops/ops.h"
#include "quant/tracking.h"

namespace lathe {
namespace {

struct DqOptions : TrackingOptions {
  std::string form = "power_of_two";
  int64_t bits = 4, min_bits = 2, max_bits = 8;
  bool clip_grad = true;
  void fields(FieldVisitor& v) {
    v.visit("form", form,
            {.doc = "steps are powers of two, as released, or any number: the paper's U3",
             .choices = {"power_of_two", "u3"}});
    v.visit("bits", bits, {.doc = "bits at the start", .min = 2, .max = 15});
    v.visit("min_bits", min_bits, {.doc = "lower bound of the bits", .min = 2, .max = 15});
    v.visit("max_bits", max_bits, {.doc = "upper bound of the bits", .min = 2, .max = 15});
    v.visit("clip_grad", clip_grad, {.doc = "gradients of step and range are clipped to [-step, step]"});
    TrackingOptions::fields(v);
  }
};

float most_code(int64_t bits) {
  return static_cast<float>((int64_t{1} << (bits - 1)) - 1);
}

class DqQuantizer : public TrackedQuantizer {
 public:
  DqQuantizer(const DqOptions& options, const Site& site)
      : TrackedQuantizer(site, "dq", options),
        options_(options),
        shape_{.power_of_two = options.form == "power_of_two"},
        step_(*this, "step", {.shape = {1}, .init = init::constant(quant::kDqLeast), .role = Role::Scale}),
        range_(*this, "range", {.shape = {1}, .init = init::constant(1), .role = Role::Scale}) {
    LATHE_CHECK(ConfigError, options.min_bits <= options.bits && options.bits <= options.max_bits,
                "dq: expected min_bits <= bits <= max_bits, found ", options.min_bits, ", ", options.bits,
                ", ", options.max_bits);
  }

  void begin() override {
    const GroupRange range = group_range(host_f32(parameter().raw().data()), 0, "dq");
    const double largest = std::max(range.hi.item(), -range.lo.item());
    const double exponent = std::log2(largest / most_code(options_.bits));
    const double step = std::exp2(options_.bits > 4 ? std::ceil(exponent) : std::floor(exponent));
    const float bounded = std::clamp(static_cast<float>(step), quant::kDqLeast, quant::kDqMostStep);
    put(bounded, bounded * most_code(options_.bits));
  }
  void before_update(const Moment& moment) override {
    TrackedQuantizer::before_update(moment);
    if (!options_.clip_grad) return;
    for (Parameter* own : {&step_, &range_}) {
      Tensor& gradient = own->raw().grad();
      if (!gradient.defined()) continue;
      Tensor clipped = gradient.empty_like();
      kernels::clip_to_step(clipped, gradient, step_.raw().data());
      gradient = clipped;
    }
  }
  // The bounds of the released code, and codes of min_bits to max_bits.
  void after_update() override {
    kernels::dq_bound(step_.raw().mutable_data(), range_.raw().mutable_data(), shape_,
                      static_cast<double>(most_code(options_.min_bits)),
                      static_cast<double>(most_code(options_.max_bits)));
  }

  Codes codes_of(const Tensor& raw) const override {
    const Tensor w = host_f32(raw);
    group_range(w, 0, "dq");  // refuses NaN and infinities
    const float range = number(range_), unit = unit_of(number(step_));
    const float most = quant::dq_most(unit, range);
    Codes codes = encode_numbers(Decoder::Affine,
                                 numbers(w, host_f32(step_.raw().data()), host_f32(range_.raw().data())), 0);
    codes.bits = one_width(static_cast<int>(quant::dq_width(static_cast<double>(most), 1.0, 2.0)));
    codes.scale = Tensor::full({1}, static_cast<double>(unit));
    return codes;
  }
  Tensor numbers_of(const Tensor& raw) const override {
    return numbers(raw, step_.raw().data().to(DType::F32), range_.raw().data().to(DType::F32));
  }
  Limits limits() const override {
    return {quant::kDqLeast, static_cast<int>(options_.min_bits), static_cast<int>(options_.max_bits)};
  }
  Var size_in_bits(const Var& raw) const override {
    return dq_size(step_.raw(), range_.raw(), raw.data().numel(), shape_);
  }

 protected:
  Var rounded(const Var& raw) override {
    if (shape_.power_of_two) return dq_quantize(raw, step_.raw(), range_.raw(), shape_);
    return dq_quantize(raw, step_.raw(), dq_whole_range(step_.raw(), range_.raw()), shape_);
  }
  Var value_of(const Codes& codes) const override {
    const Tensor& raw = parameter().raw().data();
    return mul(Var(codes.integers.to(raw.dtype()).to(raw.device())), dq_unit(step_.raw(), shape_));
  }

 private:
  Tensor numbers(const Tensor& w, const Tensor& step, const Tensor& range) const {
    Tensor q = w.empty_like();
    kernels::dq_codes(q, w, step, range, shape_);
    return q;
  }
  static float number(const Parameter& parameter) {
    return static_cast<float>(parameter.raw().data().item());
  }
  float unit_of(float step) const { return shape_.power_of_two ? quant::dq_power_step(step) : step; }
  void put(float step, float range) {
    const Tensor& like = parameter().raw().data();
    step_.raw().set_data(Tensor::full({1}, static_cast<double>(step), like.dtype(), like.device()));
    range_.raw().set_data(Tensor::full({1}, static_cast<double>(range), like.dtype(), like.device()));
  }

  DqOptions options_;
  kernels::DqShape shape_;
  Parameter step_, range_;
};

}  // namespace

QuantizerRegistry::Entry dq_method() {
  return make_method<DqQuantizer>("dq", "DQ: a learned step and range, whose ratio says the bits",
                                  DqOptions());
}

}  // namespace lathe
