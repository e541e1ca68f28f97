// PACT (Choi et al. 2018): a learned upper bound of what a ReLU lets through; methods.md section 12.

#include <limits>

#include "autograd/ops/elementwise.h"
#include "layers/init.h"
#include "quant/activations/methods.h"
#include "quant/ops/ops.h"

namespace lathe {
namespace {

constexpr double kLeastBound = 1e-8;

struct PactOptions {
  int64_t bits = 8;
  double init = 8;
  bool residual = false;
  void fields(FieldVisitor& v) {
    v.visit("bits", bits, {.doc = "bits of a code", .min = 1, .max = 15});
    v.visit("init", init, {.doc = "first upper bound", .min = 0, .above_min = true});
    v.visit("residual", residual,
            {.doc = "the bound's gradient includes the rounding of what lies in range; false: as published"});
  }
};

class PactActivation : public ActivationQuantizer {
 public:
  PactActivation(const PactOptions& options, QuantSite& site)
      : ActivationQuantizer(site, "pact", static_cast<int>(options.bits)),
        residual_(options.residual),
        alpha_(*this, "alpha", {.shape = {1}, .init = init::constant(options.init), .role = Role::Scale}) {}

  void after_update() override {
    const NoGrad no_grad;
    alpha_.raw().mutable_data().copy_from(
        clamp(alpha_.raw(), kLeastBound, std::numeric_limits<double>::infinity()).data());
  }

 protected:
  void observe(const Tensor&, bool) override {}
  Var quantize(const Var& x) const override { return pact_quantize(x, alpha_.raw(), bits(), residual_); }

 private:
  bool residual_;
  Parameter alpha_;
};

}  // namespace

ActivationRegistry::Entry pact_activation() {
  return make_activation<PactActivation>("pact", "PACT: a learned upper bound", PactOptions());
}

}  // namespace lathe
