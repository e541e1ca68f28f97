// CoDeQ: a learned dead zone, so that pruning and quantization are one operator; methods.md section 4. Weight
// decay on the logits is what makes zeros (role dead_zone) and takes bits (role bits).

#include <algorithm>
#include <limits>

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "layers/init.h"
#include "quant/methods/encode.h"
#include "quant/methods/methods.h"
#include "quant/ops/ops.h"
#include "quant/tracking.h"

namespace lathe {
namespace {

struct CodeqOptions : TrackingOptions {
  int64_t bits = 4;
  bool learn_bits = false;
  bool learn_dead_zone = true;
  double max_bits = 8;
  double init_dead_zone = 3, init_bits = 3;
  double step_floor = 1e-4;
  bool zero_weight_grad = false;
  void fields(FieldVisitor& v) {
    v.visit("bits", bits, {.doc = "bits of a code where they are not learned", .min = 2, .max = 15});
    v.visit("learn_bits", learn_bits, {.doc = "each tensor learns its bits, 2 to max_bits"});
    v.visit("learn_dead_zone", learn_dead_zone, {.doc = "the dead zone's width is trained"});
    v.visit("max_bits", max_bits, {.doc = "upper bound of learned bits", .min = 3, .max = 15});
    v.visit("init_dead_zone", init_dead_zone, {.doc = "first logit of the dead zone; 0 is the widest zone"});
    v.visit("init_bits", init_bits, {.doc = "first logit of the bits; 0 is 2 bits"});
    v.visit("step_floor", step_floor,
            {.doc = "least step as a share of the largest level; 0: none, as published", .min = 0, .max = 1});
    v.visit("zero_weight_grad", zero_weight_grad, {.doc = "a weight of exactly 0 gets a gradient too"});
    TrackingOptions::fields(v);
  }
};

class CodeqQuantizer : public TrackedQuantizer {
 public:
  CodeqQuantizer(const CodeqOptions& options, const Site& site)
      : TrackedQuantizer(site, "codeq", options),
        options_(options),
        dead_zone_(*this, "dead_zone",
                   {.shape = {1}, .init = init::constant(options.init_dead_zone), .role = Role::DeadZone}) {
    shape_.max_bits = options.max_bits;
    shape_.fixed_bits = options.learn_bits ? 0 : static_cast<double>(options.bits);
    shape_.step_floor = options.step_floor;
    shape_.zero_weight_grad = options.zero_weight_grad;
    if (options.learn_bits) {
      bits_ = std::make_unique<Parameter>(
          *this, "bits",
          ParameterSpec{.shape = {1}, .init = init::constant(options.init_bits), .role = Role::Bits});
    }
  }

  Codes codes_of(const Tensor& raw) const override {
    const Tensor w = host_f32(raw);
    const Tensor values = codeq_values(w);
    const float* g = values.ptr<float>();
    Codes codes = encode_numbers(Decoder::DeadZone, numbers(w, values), 0);
    codes.bits = one_width(static_cast<int>(g[5]));
    codes.scale = Tensor::full({1}, g[3]);
    codes.offset = Tensor::full({1}, g[4]);
    return codes;
  }
  Tensor numbers_of(const Tensor& raw) const override { return numbers(raw, single_grid(raw)); }
  Limits limits() const override {
    const double amplitude = codeq_values(parameter().raw().data()).ptr<float>()[0];
    const double least = std::max(shape_.step_floor * amplitude, shape_.eps);
    Limits limits{.least_scale = static_cast<float>(least)};
    if (options_.learn_bits) {
      limits.least_bits = static_cast<int>(shape_.min_bits);
      limits.most_bits = static_cast<int>(shape_.max_bits);
    }
    return limits;
  }
  // Bits are whole in training too: no gradient to hand to a size penalty, decay is what moves them.
  Var size_in_bits(const Var& raw) const override {
    if (bits_ == nullptr) return fixed_size(raw, static_cast<int>(options_.bits));
    const NoGrad no_grad;
    const Var bits(single_grid(raw.data()).rows(5, 6).to(raw.dtype()));
    return scale(bits, static_cast<double>(raw.data().numel()));
  }

 protected:
  Var rounded(const Var& raw) override {
    const Var dead_zone = options_.learn_dead_zone ? dead_zone_.raw() : dead_zone_.raw().detach();
    return codeq_quantize(raw, dead_zone, bits_ == nullptr ? Var() : bits_->raw(), shape_);
  }
  // scale q + sign(q) offset, whose gradient for the dead zone is that of formulas 4.2 at a constant code.
  Var value_of(const Codes& codes) const override {
    const Tensor& raw = parameter().raw().data();
    const Var value = TrackedQuantizer::value_of(codes);
    if (!options_.learn_dead_zone) return value;
    const Tensor grid = codeq_values(raw);
    const double amplitude = grid.ptr<float>()[0], most = grid.ptr<float>()[2];
    const Var width = scale(add_scalar(neg(abs(tanh(dead_zone_.raw()))), 1), 2 * amplitude);
    const Var free = scale(add_scalar(scale(width, -0.5), amplitude), 1 / (most - 0.5));
    const Var step = clamp(free, shape_.step_floor * amplitude, std::numeric_limits<double>::infinity());
    const Var q(codes.integers.to(raw.dtype()).to(raw.device()));
    const Var sign = clamp(q, -1, 1);
    const Var slope = add(mul(q, step), mul(sign, scale(sub(width, step), 0.5)));
    return add(value, sub(slope, slope.detach()));
  }

 private:
  static Tensor numbers(const Tensor& w, const Tensor& grid) {
    Tensor q = w.empty_like();
    kernels::codeq_codes(q, w, grid);
    return q;
  }
  /// What codes mean, see kernels::codeq_grid; in f32, on the weight's device.
  Tensor single_grid(const Tensor& raw) const {
    return codeq_grid(raw.to(DType::F32), dead_zone_.raw().data().to(DType::F32),
                      bits_ == nullptr ? Tensor() : bits_->raw().data().to(DType::F32), shape_);
  }
  /// The same on the host.
  Tensor codeq_values(const Tensor& raw) const {
    return codeq_grid(host_f32(raw), host_f32(dead_zone_.raw().data()),
                      bits_ == nullptr ? Tensor() : host_f32(bits_->raw().data()), shape_);
  }

  CodeqOptions options_;
  kernels::CodeqShape shape_;
  Parameter dead_zone_;
  std::unique_ptr<Parameter> bits_;  // where they are learned
};

}  // namespace

QuantizerRegistry::Entry codeq_method() {
  return make_method<CodeqQuantizer>("codeq", "CoDeQ: a learned dead zone prunes and quantizes in one",
                                     CodeqOptions());
}

}  // namespace lathe
