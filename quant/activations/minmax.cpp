// Running minimum and maximum of activations, a range that always holds 0; methods.md section 10 (f).

#include <algorithm>

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
    const double keep = first ? 0 : momentum_;
    follow(lo_, keep, std::min(range.lo.item(), 0.0));
    follow(hi_, keep, std::max(range.hi.item(), 0.0));
  }
  Var quantize(const Var& x) const override {
    const double lo = lo_.data().item(), hi = hi_.data().item();
    const double levels = (1 << bits()) - 1, step = std::max(hi - lo, kLeastRange) / levels;
    return zero_point_quantize(x, constant(x, step), constant(x, -lo / step), bits());
  }

 private:
  static void follow(Buffer& running, double keep, double now) {
    const Tensor& old = running.data();
    running.data() = Tensor::full({1}, keep * old.item() + (1 - keep) * now, old.dtype(), old.device());
  }
  static Var constant(const Var& like, double value) {
    return Var(Tensor::full({1}, value, like.dtype(), like.data().device()));
  }

  double momentum_;
  Buffer lo_, hi_;
};

}  // namespace

ActivationRegistry::Entry minmax_activation() {
  return make_activation<MinmaxActivation>("minmax", "levels over the running range of training batches",
                                           MinmaxActivationOptions());
}

}  // namespace lathe
