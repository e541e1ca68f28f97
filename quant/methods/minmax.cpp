// minmax: asymmetric levels over [min, max] (DiffQ's QAT, methods.md section 1.1); absmax: symmetric levels
// (section 1.2). Without `qat` training stays float and only evaluation rounds: post-training quantization.
// The range may be searched (section 10); it is searched again whenever the weights are rounded.

#include "quant/methods/encode.h"
#include "quant/methods/methods.h"
#include "quant/ops/ops.h"
#include "quant/tracking.h"

namespace lathe {
namespace {

struct UniformOptions : Granularity, TrackingOptions {
  int64_t bits = 8;
  bool qat = true;
  std::string range = "minmax";
  double percentile = 99.9;
  void fields(FieldVisitor& v) {
    v.visit("bits", bits, {.doc = "bits of a code", .min = 1, .max = 15});
    Granularity::fields(v);
    v.visit("qat", qat, {.doc = "training rounds too, straight-through"});
    v.visit(
        "range", range,
        {.doc = "where levels end: the extreme values, percentiles of the values, or where the squared error "
                "is least (with qat a search of 100 to 300 passes in every step)",
         .choices = {"minmax", "percentile", "mse"}});
    v.visit("percentile", percentile,
            {.doc = "of range percentile, in per cent", .min = 50, .max = 100, .above_min = true});
    TrackingOptions::fields(v);
  }
  RangeSearch search() const {
    using Kind = RangeSearch::Kind;
    return {range == "minmax"       ? Kind::MinMax
            : range == "percentile" ? Kind::Percentile
                                    : Kind::LeastError,
            percentile};
  }
};

class MinmaxQuantizer : public TrackedQuantizer {
 public:
  MinmaxQuantizer(const UniformOptions& options, const Site& site)
      : TrackedQuantizer(site, "minmax", options, options.qat),
        bits_(static_cast<int>(options.bits)),
        qat_(options.qat),
        search_(options.search()),
        grouping_(options.grouping(site.parameter)) {}

  Codes codes_of(const Tensor& raw) const override {
    const Tensor w = grouping_.gather(Var(host_f32(raw))).data();
    const GroupRange range = find_range(w, bits_, false, grouping_.size, search_, "minmax");
    const float* lo = range.lo.ptr<float>();
    const float* hi = range.hi.ptr<float>();
    Codes codes = encode_numbers(Decoder::Range, numbers(w, range), grouping_.size);
    codes.bits = one_width(bits_);
    codes.offset = range.lo;
    codes.scale = Tensor::empty(range.lo.shape());
    for (int64_t g = 0; g < codes.scale.numel(); ++g) codes.scale.mut<float>()[g] = hi[g] - lo[g];
    return grouping_.scatter(std::move(codes));
  }
  Tensor numbers_of(const Tensor& raw) const override {
    const Tensor w = grouping_.gather(Var(raw)).data();
    const GroupRange range = find_range(w, bits_, false, grouping_.size, search_, "minmax");
    return grouping_.scatter(Var(numbers(w, range))).data();
  }
  Var size_in_bits(const Var& raw) const override { return fixed_size(raw, bits_); }

 protected:
  Var rounded(const Var& raw) override {
    if (!qat_) return raw;
    return grouping_.scatter(minmax_quantize(grouping_.gather(raw), bits_, grouping_.size, search_));
  }

 private:
  Tensor numbers(const Tensor& w, const GroupRange& range) const {
    Tensor q = w.empty_like();
    kernels::minmax_codes(q, w, range.lo, range.hi, one_width(bits_, w.device()), grouping_.size);
    return q;
  }

  int bits_;
  bool qat_;
  RangeSearch search_;
  Grouping grouping_;
};

struct AbsmaxOptions : UniformOptions {
  bool grad_through_scale = false;
  void fields(FieldVisitor& v) {
    UniformOptions::fields(v);
    v.visit("grad_through_scale", grad_through_scale,
            {.doc = "the gradient also flows through the largest magnitude"});
  }
};

class AbsmaxQuantizer : public TrackedQuantizer {
 public:
  AbsmaxQuantizer(const AbsmaxOptions& options, const Site& site)
      : TrackedQuantizer(site, "absmax", options, options.qat),
        bits_(static_cast<int>(options.bits)),
        qat_(options.qat),
        through_scale_(options.grad_through_scale),
        search_(options.search()),
        grouping_(options.grouping(site.parameter)) {
    LATHE_CHECK(ConfigError, bits_ >= 2, "absmax: expected 2 to 15 bits, found ", bits_);
    LATHE_CHECK(ConfigError, !through_scale_ || search_.kind == RangeSearch::Kind::MinMax,
                "absmax: grad_through_scale needs range 'minmax', found '", options.range, "'");
  }

  Codes codes_of(const Tensor& raw) const override {
    const Tensor w = grouping_.gather(Var(host_f32(raw))).data();
    Tensor scale;
    Codes codes = encode_numbers(Decoder::Affine, numbers(w, scale), grouping_.size);
    codes.bits = one_width(bits_);
    codes.scale = scale;
    return grouping_.scatter(std::move(codes));
  }
  Tensor numbers_of(const Tensor& raw) const override {
    Tensor scale;
    return grouping_.scatter(Var(numbers(grouping_.gather(Var(raw)).data(), scale))).data();
  }
  Var size_in_bits(const Var& raw) const override { return fixed_size(raw, bits_); }

 protected:
  Var rounded(const Var& raw) override {
    if (!qat_) return raw;
    return grouping_.scatter(
        absmax_quantize(grouping_.gather(raw), bits_, grouping_.size, through_scale_, search_));
  }

 private:
  /// Makes their scales too.
  Tensor numbers(const Tensor& w, Tensor& scale) const {
    const GroupRange range = find_range(w, bits_, true, grouping_.size, search_, "absmax");
    const double most = (1 << (bits_ - 1)) - 1;
    scale = range.lo.empty_like();
    kernels::absmax_scale(scale, range.lo, range.hi, most);
    Tensor q = w.empty_like();
    kernels::absmax_codes(q, w, scale, most, grouping_.size);
    return q;
  }

  int bits_;
  bool qat_, through_scale_;
  RangeSearch search_;
  Grouping grouping_;
};

}  // namespace

QuantizerRegistry::Entry minmax_method() {
  return make_method<MinmaxQuantizer>("minmax", "asymmetric levels between the least and the largest value",
                                      UniformOptions());
}
QuantizerRegistry::Entry absmax_method() {
  return make_method<AbsmaxQuantizer>("absmax", "symmetric levels up to the largest magnitude",
                                      AbsmaxOptions());
}

}  // namespace lathe
