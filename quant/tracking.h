#pragma once
// Oscillating weights (Nagel et al. 2022; methods.md sections 5.4 and 11): how often each code turns back,
// and weights that oscillate too often frozen where they are on average.

#include <memory>
#include <optional>

#include "quant/quantizer.h"

namespace lathe {

/// Options of methods whose training rounds to whole codes.
struct TrackingOptions {
  double oscillation_momentum = 0;
  double freeze_threshold = 0;
  std::optional<double> freeze_threshold_end;
  double freeze_begin = 0.25;
  void fields(FieldVisitor& v);
  bool freezes() const { return freeze_threshold > 0; }
};

/// A quantizer with a history of its codes. It looks at them once a step, before the update, so that a
/// forward changes nothing. A frozen weight keeps its code in training and evaluation: its raw value gets no
/// gradient and means nothing any more, while what decodes the code still learns. A code that a narrower
/// width no longer holds becomes the nearest that it does.
class TrackedQuantizer : public Quantizer {
 public:
  /// `rounds`: training multiplies with rounded weights. ConfigError where freezing is asked for without
  /// that.
  TrackedQuantizer(const Site& site, const std::string& method, const TrackingOptions& options,
                   bool rounds = true);

  void initialise() final;
  Codes encode(const Tensor& raw) const final;
  void before_update(const Moment& moment) override;
  /// Frozen weights are chosen on the host.
  bool steady() const override { return !options_.freezes(); }
  bool rounds() const final { return rounds_; }
  std::optional<Oscillations> oscillations(double cutoff) const final;

 protected:
  /// First values of own parameters.
  virtual void begin() {}
  /// The codes of `raw`, as if no weight were frozen.
  virtual Codes codes_of(const Tensor& raw) const = 0;
  /// The same as numbers, of f32 values on their device: for histories, without the host.
  virtual Tensor numbers_of(const Tensor& raw) const = 0;
  /// What training multiplies with, as if no weight were frozen.
  virtual Var rounded(const Var& raw) = 0;
  /// The values of codes: decode(codes), with gradients for own parameters where the method has them.
  virtual Var value_of(const Codes& codes) const;

 private:
  Var train(const Var& raw, const RunState& run, uint32_t stream) final;
  void hold_frozen(Codes& codes) const;

  TrackingOptions options_;
  bool rounds_;
  std::unique_ptr<Buffer> history_;  // (elements, 6), where codes are tracked: rows of quant::Oscillation
};

}  // namespace lathe
