#pragma once
// A number whose roundings, clips and signs are replayed from a base point (methods.md section 15.2):
// formulas written with quant/math/scalar.h become smooth, and their numeric derivative is the
// straight-through gradient. For gradient checks.

#include <cmath>
#include <cstddef>
#include <vector>

#include "core/error.h"

namespace lathe::quant {

/// What was decided at the base point, in order. While one is alive on a thread, Frozen numbers use it: the
/// first pass writes, passes after rewind() read.
class Decisions {
 public:
  Decisions();
  Decisions(const Decisions&) = delete;
  Decisions& operator=(const Decisions&) = delete;
  ~Decisions();
  void rewind();
  /// The decision at this place: `now` while recording, what was recorded afterwards.
  static double next(double now);

 private:
  std::vector<double> values_;
  size_t next_ = 0;
  bool recording_ = true;
  Decisions* previous_;
};

struct Frozen {
  double v = 0;
  Frozen() = default;
  Frozen(double value) : v(value) {}  // NOLINT(google-explicit-constructor): a number like the others
};

inline Frozen operator+(Frozen a, Frozen b) {
  return a.v + b.v;
}
inline Frozen operator-(Frozen a, Frozen b) {
  return a.v - b.v;
}
inline Frozen operator*(Frozen a, Frozen b) {
  return a.v * b.v;
}
inline Frozen operator/(Frozen a, Frozen b) {
  return a.v / b.v;
}
inline Frozen operator-(Frozen a) {
  return -a.v;
}
inline Frozen& operator+=(Frozen& a, Frozen b) {
  return a = a + b;
}

inline bool operator<=(Frozen a, Frozen b) {
  return a.v <= b.v;
}
inline bool operator>(Frozen a, Frozen b) {
  return a.v > b.v;
}

/// The value at the base point: no gradient.
inline Frozen constant(Frozen x) {
  return Decisions::next(x.v);
}

inline Frozen round_ste(Frozen x) {
  return x.v + Decisions::next(std::rint(x.v) - x.v);
}
inline Frozen floor_ste(Frozen x) {
  return x.v + Decisions::next(std::floor(x.v) - x.v);
}
inline Frozen clip(Frozen x, Frozen lo, Frozen hi) {
  const double side = Decisions::next(x.v < lo.v ? -1 : (x.v > hi.v ? 1 : 0));
  return side < 0 ? lo : (side > 0 ? hi : x);
}
inline Frozen clip_ste(Frozen x, Frozen lo, Frozen hi) {
  const double clipped = x.v < lo.v ? lo.v : (x.v > hi.v ? hi.v : x.v);
  return x.v + Decisions::next(clipped - x.v);
}
inline Frozen relu_ste(Frozen x) {
  return x.v + Decisions::next(x.v > 0 ? 0.0 : -x.v);
}
inline Frozen sign(Frozen x) {
  return Decisions::next((x.v > 0) - (x.v < 0));
}
inline Frozen magnitude(Frozen x) {
  return sign(x) * x;
}
inline Frozen exponential(Frozen x) {
  return std::exp(x.v);
}
inline Frozen power_of_two(Frozen x) {
  return std::exp2(x.v);
}
inline Frozen logarithm(Frozen x) {
  return std::log(x.v);
}
inline Frozen hyperbolic_tangent(Frozen x) {
  return std::tanh(x.v);
}

}  // namespace lathe::quant
