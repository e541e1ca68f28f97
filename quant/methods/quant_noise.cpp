// Quant-Noise (Fan et al. 2021); methods.md section 6. In each step a share p of the elements is quantized
// (block 0), or a share p of the blocks is dropped (block > 0: noise that prepares for product quantization,
// which is not here). What is stored, and evaluated, is the base quantizer of every element.
//
// Scalar noise keeps its levels for `update_step` steps, and weights are clipped to them: they are state of
// the run, and evaluation has the same. Block noise never looks at levels: evaluation takes those of the
// weights.

#include "quant/math/quant_noise.h"

#include "quant/methods/encode.h"
#include "quant/methods/methods.h"
#include "quant/ops/ops.h"

namespace lathe {
namespace {

struct QuantNoiseOptions : Granularity {
  double p = 0.5;
  int64_t block = 0;
  std::string base = "minmax";
  int64_t bits = 8;
  int64_t update_step = 1000;
  void fields(FieldVisitor& v) {
    v.visit("p", p,
            {.doc = "share of elements, or of blocks, that the noise takes in a step", .min = 0, .max = 1});
    v.visit(
        "block", block,
        {.doc = "0: elements are quantized; else blocks of this many inputs of a row, or whole kernels of "
                "convolutions, are dropped and the others grow by 1 / (1 - p)",
         .min = 0});
    v.visit(
        "base", base,
        {.doc = "quantizer of chosen elements and of evaluation: levels over [min, max] with a zero point",
         .choices = {"minmax"}});
    v.visit("bits", bits, {.doc = "bits of a code", .min = 1, .max = 15});
    Granularity::fields(v);
    v.visit("update_step", update_step, {.doc = "steps between two looks at the weights' range", .min = 1});
  }
};

kernels::BlockShape blocks_of(const Shape& shape, int64_t width) {
  kernels::BlockShape blocks;
  blocks.in = shape.rank() > 0 ? shape[-1] : 1;
  blocks.taps = shape.rank() > 2 ? shape.numel() / shape[0] / blocks.in : 1;
  blocks.width = width;
  return blocks;
}

class QuantNoiseQuantizer : public Quantizer {
 public:
  QuantNoiseQuantizer(const QuantNoiseOptions& options, const Site& site)
      : Quantizer(site, "quant_noise"),
        options_(options),
        bits_(static_cast<int>(options.bits)),
        grouping_(options.grouping(site.parameter)),
        scale_(*this, "scale", {groups()}, 1),
        zero_(*this, "zero", {groups()}, 0) {
    LATHE_CHECK(ConfigError, options.block == 0 || options.p < 1,
                "quant_noise: p: blocks are dropped with a probability below 1, found ", options.p);
  }

  void initialise() override { look(parameter().raw().data()); }
  // Where training does not multiply with the noise, its forward does not look either.
  void before_update(const Moment& moment) override {
    if (!in_training_forward() && due(moment.step)) look(parameter().raw().data());
  }
  bool rounds() const override { return options_.block == 0 && options_.p == 1; }
  // The host decides when a forward looks.
  bool steady() const override { return options_.block > 0 || !in_training_forward(); }
  Codes encode(const Tensor& raw) const override {
    const Tensor w = grouping_.gather(Var(host_f32(raw))).data();
    group_range(w, 0, "quant_noise");  // refuses NaN and infinities
    const Grid grid = options_.block > 0 ? grid_of(w) : Grid{host_f32(scale_.data()), host_f32(zero_.data())};
    const float* scale = grid.scale.ptr<float>();
    const float* zero = grid.zero.ptr<float>();
    const float levels = static_cast<float>((1 << bits_) - 1);
    Codes codes = encode_elements(Decoder::ZeroPoint, w, grouping_.size, [&](float value, int64_t g) {
      return quant::zero_point_code(value, scale[g], zero[g], levels);
    });
    codes.bits = one_width(bits_);
    codes.scale = grid.scale.clone();
    codes.offset = grid.zero.clone();
    return grouping_.scatter(std::move(codes));
  }
  Var size_in_bits(const Var& raw) const override { return fixed_size(raw, bits_); }

 protected:
  Var train(const Var& raw, const RunState& run, uint32_t stream) override {
    const kernels::MaskSource mask{.philox = {run.seed, stream, run.step}, .p = options_.p, .given = {}};
    if (options_.block > 0) return block_quant_noise(raw, mask, blocks_of(raw.shape(), options_.block));
    if (in_training_forward() && due(run.step)) look(raw.data());
    return grouping_.scatter(
        scalar_quant_noise(grouping_.gather(raw), scale_.data(), zero_.data(), bits_, mask, grouping_.size));
  }

 private:
  struct Grid {
    Tensor scale, zero;
  };
  bool due(int64_t step) const { return step % options_.update_step == 0; }
  int64_t groups() const { return quant::Groups(parameter().numel(), grouping_.size).count(); }

  Grid grid_of(const Tensor& w) const {
    const GroupRange range = group_span(w, grouping_.size, "quant_noise");
    Grid grid{range.lo.empty_like(), range.lo.empty_like()};
    kernels::zero_point_grids(grid.scale, grid.zero, range.lo, range.hi, (1 << bits_) - 1);
    return grid;
  }
  void look(const Tensor& raw) {
    const ErrorScope scope(*this);
    const Grid grid = grid_of(grouping_.gather(Var(raw.to(DType::F32))).data());
    scale_.data().copy_from(grid.scale.to(raw.dtype()));
    zero_.data().copy_from(grid.zero.to(raw.dtype()));
  }

  QuantNoiseOptions options_;
  int bits_;
  Grouping grouping_;
  Buffer scale_, zero_;
};

}  // namespace

QuantizerRegistry::Entry quant_noise_method() {
  return make_method<QuantNoiseQuantizer>(
      "quant_noise", "Quant-Noise: a share of the weights is quantized, or dropped, in each step",
      QuantNoiseOptions());
}

}  // namespace lathe
