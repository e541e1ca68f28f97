#pragma once
// Scalar formulas of losses between two numbers, one place for every device.

#include "core/kernels/loss.h"
#include "core/vector_math.h"

namespace lathe {

/// l(x, t) and its derivatives by x and by t.
template <PairLoss kLoss>
struct PairFormula;

template <>
struct PairFormula<PairLoss::L1> {
  LATHE_HD static double value(double x, double t) { return math::abs(x - t); }
  LATHE_HD static double dx(double x, double t) {
    return x > t ? 1 : x < t ? -1 : x == t ? 0 : x - t;  // NaN stays
  }
  LATHE_HD static double dt(double x, double t) { return -dx(x, t); }
};

template <>
struct PairFormula<PairLoss::Mse> {
  LATHE_HD static double value(double x, double t) { return (x - t) * (x - t); }
  LATHE_HD static double dx(double x, double t) { return 2 * (x - t); }
  LATHE_HD static double dt(double x, double t) { return 2 * (t - x); }
};

template <>
struct PairFormula<PairLoss::BceWithLogits> {
  LATHE_HD static double value(double x, double t) {
    return (x > 0 ? x : 0) - x * t + math::log1p(math::exp(-math::abs(x)));
  }
  LATHE_HD static double dx(double x, double t) {
    const double e = math::exp(-math::abs(x));  // never overflows
    return (x >= 0 ? 1 : e) / (1 + e) - t;
  }
  LATHE_HD static double dt(double x, double) { return -x; }
};

/// fn.operator()<loss>() with the loss as a constant.
template <class Fn>
void with_pair_loss(PairLoss loss, const Fn& fn) {
  switch (loss) {
    case PairLoss::L1:
      return fn.template operator()<PairLoss::L1>();
    case PairLoss::Mse:
      return fn.template operator()<PairLoss::Mse>();
    case PairLoss::BceWithLogits:
      return fn.template operator()<PairLoss::BceWithLogits>();
  }
}

}  // namespace lathe
