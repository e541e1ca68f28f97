#pragma once
#include "layers/model.h"

namespace lathe {

/// A model of sound: a mixture (N, T, channels) to its sources (N, T', sources, channels), T' <= T samples
/// about the middle (center_trim).
class SeparationModel : public Model {
 public:
  using Model::Model;
  /// Of batch.inputs[0], converted to the model's element type; what follows there is the task's.
  Var forward(const Batch& batch) final;
  /// For callers that hold a Var, to ask for the gradient of the mixture for instance.
  virtual Var separate(const Var& mixture) = 0;
  /// Least T for which T' is at least `length`.
  virtual int64_t valid_length(int64_t length) const = 0;
  virtual int64_t sources() const = 0;
  virtual int64_t channels() const = 0;

 protected:
  /// ShapeError unless the mixture is (N, T, channels()).
  void expect_mixture(const Var& mixture) const;
};

/// The greatest valid length of at most `length` samples, which valid_length(1) do not exceed, and the next.
struct ValidLengths {
  int64_t below = 0, above = 0;
};
ValidLengths valid_lengths_about(const SeparationModel& model, int64_t length);

/// Samples [d / 2, d / 2 + length) along `axis`, d being what is too much.
Var center_trim(const Var& x, int axis, int64_t length);

}  // namespace lathe
