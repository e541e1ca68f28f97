// LSQ (Esser et al. 2020): a learned step size; methods.md section 2.1. LSQ+ (Bhalgat et al. 2020) has no
// offset for weights and is LSQ with another first step (section 2.2).

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "layers/init.h"
#include "quant/methods/encode.h"
#include "quant/methods/methods.h"
#include "quant/ops/ops.h"
#include "quant/tracking.h"

namespace lathe {
namespace {

constexpr float kLeastStep = 1e-8f;

struct StepOptions : Granularity, TrackingOptions {
  int64_t bits = 4;
  bool grad_scale = true;
  bool log_scale = false;
  void fields(FieldVisitor& v) {
    v.visit("bits", bits, {.doc = "bits of a code", .min = 2, .max = 15});
    Granularity::fields(v);
    v.visit("grad_scale", grad_scale,
            {.doc = "scale the step's gradient by 1 / sqrt(elements * largest code)"});
    v.visit("log_scale", log_scale, {.doc = "learn the step's logarithm"});
    TrackingOptions::fields(v);
  }
};

struct LsqOptions : StepOptions {
  std::string init = "paper";
  void fields(FieldVisitor& v) {
    StepOptions::fields(v);
    v.visit("init", init,
            {.doc = "first step: 2 mean |w| / sqrt(2^(bits-1) - 1) as in the paper, or over sqrt(2^(bits-1))",
             .choices = {"paper", "diffq"}});
  }
};

class StepQuantizer : public TrackedQuantizer {
 public:
  StepQuantizer(const std::string& method, const StepOptions& options, LsqInit init, const Site& site)
      : TrackedQuantizer(site, method, options),
        bits_(static_cast<int>(options.bits)),
        init_(init),
        log_(options.log_scale),
        grouping_(options.grouping(site.parameter)),
        grid_(lsq_grid(bits_, true, site.parameter.numel(), grouping_.size, options.grad_scale)),
        step_(*this, log_ ? "log_step_size" : "step_size",
              {.shape = {quant::Groups(site.parameter.numel(), grid_.group).count()},
               .init = init::constant(log_ ? 0 : 1),
               .role = Role::Scale}) {}

  void begin() override {
    const Tensor step =
        lsq_initial_step(grouping_.gather(parameter().raw().detach()).data(), grid_.group, bits_, init_);
    const NoGrad no_grad;
    step_.raw().set_data(log_ ? log(Var(step)).data() : step);
  }
  void after_update() override {
    if (log_) return;
    const NoGrad no_grad;
    step_.raw().mutable_data().copy_from(
        clamp(step_.raw(), kLeastStep, std::numeric_limits<double>::infinity()).data());
  }
  Codes codes_of(const Tensor& raw) const override {
    const Tensor w = grouping_.gather(Var(host_f32(raw))).data();
    const NoGrad no_grad;
    group_range(w, 0, method().c_str());  // refuses NaN and infinities
    const Tensor step = host_f32(step_size().data());
    Codes codes = encode_numbers(Decoder::Affine, numbers(w, step), grid_.group);
    codes.bits = one_width(bits_);
    codes.scale = step.clone();
    return grouping_.scatter(std::move(codes));
  }
  Tensor numbers_of(const Tensor& raw) const override {
    const NoGrad no_grad;
    const Tensor q = numbers(grouping_.gather(Var(raw)).data(), step_size().data().to(DType::F32));
    return grouping_.scatter(Var(q)).data();
  }
  Var size_in_bits(const Var& raw) const override { return fixed_size(raw, bits_); }
  Limits limits() const override { return {.least_scale = kLeastStep}; }
  std::optional<StepGrid> step_grid() const override { return StepGrid{step_size(), grid_, grouping_}; }

 protected:
  Var rounded(const Var& raw) override {
    return grouping_.scatter(lsq_quantize(grouping_.gather(raw), step_size(), grid_));
  }
  Var value_of(const Codes& codes) const override {
    const Tensor& raw = parameter().raw().data();
    const Var q = grouping_.gather(Var(codes.integers.to(raw.dtype()).to(raw.device())));
    return grouping_.scatter(lsq_decode(q.data(), step_size(), grid_));
  }

 private:
  Tensor numbers(const Tensor& w, const Tensor& step) const {
    Tensor q = w.empty_like();
    kernels::lsq_codes(q, w, step, grid_);
    return q;
  }
  Var step_size() const { return log_ ? exp(step_.raw()) : step_.raw(); }

  int bits_;
  LsqInit init_;
  bool log_;
  Grouping grouping_;
  kernels::LsqGrid grid_;
  Parameter step_;
};

class LsqQuantizer : public StepQuantizer {
 public:
  LsqQuantizer(const LsqOptions& options, const Site& site)
      : StepQuantizer("lsq", options, options.init == "paper" ? LsqInit::Paper : LsqInit::Diffq, site) {}
};

class LsqPlusQuantizer : public StepQuantizer {
 public:
  LsqPlusQuantizer(const StepOptions& options, const Site& site)
      : StepQuantizer("lsq_plus", options, LsqInit::Plus, site) {}
};

}  // namespace

QuantizerRegistry::Entry lsq_method() {
  return make_method<LsqQuantizer>("lsq", "LSQ: a learned step size", LsqOptions());
}
QuantizerRegistry::Entry lsq_plus_method() {
  return make_method<LsqPlusQuantizer>("lsq_plus", "LSQ+: LSQ from a step that spans three deviations",
                                       StepOptions());
}

}  // namespace lathe
