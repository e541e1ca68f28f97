// Running minimum and maximum of activations, a range that always holds 0; methods.md section 10 (f).

#include "quant/activations/methods.h"
#include "quant/ops/ops.h"

namespace lathe {
namespace {

constexpr double kLeastRange = 1e-8;

struct MinmaxActivationOptions {
  int64_t bits = 8;
  double momentum = 0.9;
  void fields(FieldVisitor& v) {
    v.visit("bits", bits, {.doc = "bits of a code", .min = 1, .max = 15});
    v.visit("momentum", momentum,
            {.doc = "share of the running range that a batch leaves as it was", .min = 0, .max = 1});
  }
};

class MinmaxActivation : public ActivationQuantizer {
 public:
  MinmaxActivation(const MinmaxActivationOptions& options, QuantSite& site)
      : ActivationQuantizer(site, "minmax", static_cast<int>(options.bits)),
        momentum_(options.momentum),
        lo_(*this, "running_min", {1}, 0),
        hi_(*this, "running_max", {1}, 0) {}

 protected:
  void observe(const Tensor& x, bool first) override {
    const GroupRange range = group_range(x, 0, "minmax");
    const DType own = lo_.data().dtype();
    kernels::follow_range(lo_.data(), hi_.data(), range.lo.to(own), range.hi.to(own), first ? 0 : momentum_);
  }
  Var quantize(const Var& x) const override {
    Tensor step = x.data().empty_like({1}), zero = step.empty_like();
    kernels::range_levels(step, zero, lo_.data().to(x.dtype()), hi_.data().to(x.dtype()), (1 << bits()) - 1,
                          kLeastRange);
    return zero_point_quantize(x, Var(step), Var(zero), bits());
  }

 private:
  double momentum_;
  Buffer lo_, hi_;
};

}  // namespace

ActivationRegistry::Entry minmax_activation() {
  return make_activation<MinmaxActivation>("minmax", "levels over the running range of training batches",
                                           MinmaxActivationOptions());
}

}  // namespace lathe
