// LSQ (Esser et al. 2020) and LSQ+ (Bhalgat et al. 2020) of activations; methods.md section 2.

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/ops/elementwise.h"
#include "core/error.h"
#include "layers/init.h"
#include "quant/activations/methods.h"
#include "quant/ops/ops.h"

namespace lathe {
namespace {

constexpr double kLeastStep = 1e-8;

struct LsqActivationOptions {
  int64_t bits = 8;
  bool is_signed = false;
  bool grad_scale = true;
  void fields(FieldVisitor& v) {
    v.visit("bits", bits, {.doc = "bits of a code", .min = 2, .max = 15});
    v.visit("signed", is_signed,
            {.doc = "codes of both signs; false: what is below 0 becomes 0, for inputs behind a ReLU"});
    v.visit("grad_scale", grad_scale,
            {.doc = "scale the gradients of the grid by 1 / sqrt(features * largest code)"});
  }
};

/// Learned scale; `plus` learns an offset too and starts from the first batch's range.
class LsqActivation : public ActivationQuantizer {
 public:
  LsqActivation(const LsqActivationOptions& options, QuantSite& site, bool plus)
      : ActivationQuantizer(site, plus ? "lsq_plus" : "lsq", static_cast<int>(options.bits)),
        options_(options),
        step_(*this, "step_size", {.shape = {1}, .init = init::constant(1), .role = Role::Scale}) {
    if (plus) {
      offset_ = std::make_unique<Parameter>(
          *this, "offset", ParameterSpec{.shape = {1}, .init = init::constant(0), .role = Role::Scale});
    }
  }
  LsqActivation(const LsqActivationOptions& options, QuantSite& site) : LsqActivation(options, site, false) {}

  void after_update() override {
    const NoGrad no_grad;
    step_.raw().mutable_data().copy_from(
        clamp(step_.raw(), kLeastStep, std::numeric_limits<double>::infinity()).data());
  }

 protected:
  void observe(const Tensor& x, bool first) override {
    if (!first) return;
    const kernels::LsqGrid grid = grid_of(x);
    const GroupRange range = group_range(x, 0, "lsq");
    if (offset_ != nullptr) {
      const double lo = range.lo.item(), hi = range.hi.item();
      const double step = std::max((hi - lo) / (grid.hi - grid.lo), kLeastStep);
      set(step_, step);
      set(*offset_, lo - grid.lo * step);
      return;
    }
    Tensor mean = Tensor::empty({1}, x.dtype(), x.device());
    kernels::group_mean_magnitude(mean, x, 0);
    set(step_, std::max(2 * mean.item() / std::sqrt(grid.hi), kLeastStep));
  }
  Var quantize(const Var& x) const override {
    const kernels::LsqGrid grid = grid_of(x.data());
    return offset_ == nullptr ? lsq_quantize(x, step_.raw(), grid)
                              : lsq_plus_quantize(x, step_.raw(), offset_->raw(), grid);
  }

 private:
  /// Features are the elements of one sample.
  kernels::LsqGrid grid_of(const Tensor& x) const {
    const int64_t features = x.numel() / std::max<int64_t>(1, x.shape()[0]);
    return lsq_grid(bits(), options_.is_signed, std::max<int64_t>(1, features), 0, options_.grad_scale);
  }
  static void set(Parameter& parameter, double value) {
    const Tensor& old = parameter.raw().data();
    parameter.raw().set_data(Tensor::full({1}, value, old.dtype(), old.device()));
  }

  LsqActivationOptions options_;
  Parameter step_;
  std::unique_ptr<Parameter> offset_;
};

class LsqPlusActivation : public LsqActivation {
 public:
  LsqPlusActivation(const LsqActivationOptions& options, QuantSite& site)
      : LsqActivation(options, site, true) {}
};

}  // namespace

ActivationRegistry::Entry lsq_activation() {
  return make_activation<LsqActivation>("lsq", "LSQ: a learned step size", LsqActivationOptions());
}
ActivationRegistry::Entry lsq_plus_activation() {
  return make_activation<LsqPlusActivation>("lsq_plus", "LSQ+: a learned step size and offset",
                                            LsqActivationOptions());
}

}  // namespace lathe
