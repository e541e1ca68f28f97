#pragma once
// Scalar formulas of the elementwise kernels, one place for every device. A NaN input gives a NaN output.

#include "core/vector_math.h"

namespace lathe {

enum class BinaryOp : uint8_t {
  Add,
  Sub,
  Mul,
  Div,
  DivOrZero,  ///< a / b, 0 where b is 0; no backward
  Maximum,
  Minimum,
};

enum class UnaryOp : uint8_t {
  Scale,      ///< a x
  AddScalar,  ///< x + a
  Exp,
  Log,
  Sqrt,
  Square,
  Abs,
  Pow,    ///< x^a
  Clamp,  ///< to [a, b]
  Relu,
  Relu6,
  LeakyRelu,  ///< slope a
  Elu,        ///< alpha a
  Gelu,
  GeluTanh,
  Silu,
  Hardswish,
  Hardsigmoid,
  Sigmoid,
  Tanh,
  Softplus,
};

struct UnaryParameters {
  double a = 0, b = 0;
};

/// Which tensor unary_backward needs: y if true, else x.
constexpr bool saves_output(UnaryOp op) {
  return op == UnaryOp::Exp || op == UnaryOp::Sqrt || op == UnaryOp::Relu || op == UnaryOp::Relu6 ||
         op == UnaryOp::Sigmoid || op == UnaryOp::Tanh;
}

/// fn.operator()<op>() with the op as a constant.
template <class Fn>
[[gnu::always_inline]] inline void with_unary_op(UnaryOp op, const Fn& fn) {
  switch (op) {
    case UnaryOp::Scale:
      return fn.template operator()<UnaryOp::Scale>();
    case UnaryOp::AddScalar:
      return fn.template operator()<UnaryOp::AddScalar>();
    case UnaryOp::Exp:
      return fn.template operator()<UnaryOp::Exp>();
    case UnaryOp::Log:
      return fn.template operator()<UnaryOp::Log>();
    case UnaryOp::Sqrt:
      return fn.template operator()<UnaryOp::Sqrt>();
    case UnaryOp::Square:
      return fn.template operator()<UnaryOp::Square>();
    case UnaryOp::Abs:
      return fn.template operator()<UnaryOp::Abs>();
    case UnaryOp::Pow:
      return fn.template operator()<UnaryOp::Pow>();
    case UnaryOp::Clamp:
      return fn.template operator()<UnaryOp::Clamp>();
    case UnaryOp::Relu:
      return fn.template operator()<UnaryOp::Relu>();
    case UnaryOp::Relu6:
      return fn.template operator()<UnaryOp::Relu6>();
    case UnaryOp::LeakyRelu:
      return fn.template operator()<UnaryOp::LeakyRelu>();
    case UnaryOp::Elu:
      return fn.template operator()<UnaryOp::Elu>();
    case UnaryOp::Gelu:
      return fn.template operator()<UnaryOp::Gelu>();
    case UnaryOp::GeluTanh:
      return fn.template operator()<UnaryOp::GeluTanh>();
    case UnaryOp::Silu:
      return fn.template operator()<UnaryOp::Silu>();
    case UnaryOp::Hardswish:
      return fn.template operator()<UnaryOp::Hardswish>();
    case UnaryOp::Hardsigmoid:
      return fn.template operator()<UnaryOp::Hardsigmoid>();
    case UnaryOp::Sigmoid:
      return fn.template operator()<UnaryOp::Sigmoid>();
    case UnaryOp::Tanh:
      return fn.template operator()<UnaryOp::Tanh>();
    case UnaryOp::Softplus:
      return fn.template operator()<UnaryOp::Softplus>();
  }
}
template <class Fn>
[[gnu::always_inline]] inline void with_binary_op(BinaryOp op, const Fn& fn) {
  switch (op) {
    case BinaryOp::Add:
      return fn.template operator()<BinaryOp::Add>();
    case BinaryOp::Sub:
      return fn.template operator()<BinaryOp::Sub>();
    case BinaryOp::Mul:
      return fn.template operator()<BinaryOp::Mul>();
    case BinaryOp::Div:
      return fn.template operator()<BinaryOp::Div>();
    case BinaryOp::DivOrZero:
      return fn.template operator()<BinaryOp::DivOrZero>();
    case BinaryOp::Maximum:
      return fn.template operator()<BinaryOp::Maximum>();
    case BinaryOp::Minimum:
      return fn.template operator()<BinaryOp::Minimum>();
  }
}

namespace math {

inline constexpr double kSqrt2OverPi = 0.79788456080286535588;
inline constexpr double kGeluCubic = 0.044715;  // Hendrycks and Gimpel 2016, section 2

template <class T>
LATHE_HD_INLINE T clamp(T x, T lo, T hi) {
  const T below = x > hi ? hi : x;
  return below < lo ? lo : below;
}

template <class T>
LATHE_HD_INLINE T gelu_inner(T x) {
  return T(kSqrt2OverPi) * (x + T(kGeluCubic) * x * x * x);
}

template <BinaryOp op, class T>
LATHE_HD_INLINE T binary(T a, T b) {
  if constexpr (op == BinaryOp::Add) return a + b;
  if constexpr (op == BinaryOp::Sub) return a - b;
  if constexpr (op == BinaryOp::Mul) return a * b;
  if constexpr (op == BinaryOp::Div) return a / b;
  if constexpr (op == BinaryOp::DivOrZero) {
    const T quotient = a / b;
    return b == T(0) ? T(0) : quotient;
  }
  if constexpr (op == BinaryOp::Maximum) {
    const T larger = a > b ? a : b;
    return a != a ? a : larger;
  }
  if constexpr (op == BinaryOp::Minimum) {
    const T smaller = a < b ? a : b;
    return a != a ? a : smaller;
  }
}

/// Gradient of binary<op>(a, b) for a (side 0) or b (side 1), times dy.
template <BinaryOp op, int side, class T>
LATHE_HD_INLINE T binary_backward(T dy, T a, T b) {
  if constexpr (op == BinaryOp::Add) return dy;
  if constexpr (op == BinaryOp::Sub) return side == 0 ? dy : -dy;
  if constexpr (op == BinaryOp::Mul) return side == 0 ? dy * b : dy * a;
  if constexpr (op == BinaryOp::Div || op == BinaryOp::DivOrZero)
    return side == 0 ? dy / b : -dy * a / (b * b);
  if constexpr (op == BinaryOp::Maximum || op == BinaryOp::Minimum) {
    const T mine = (side == 0) == (op == BinaryOp::Maximum) ? a : b;
    const T other = (side == 0) == (op == BinaryOp::Maximum) ? b : a;
    const T half = T(0.5) * dy;
    const T tie = mine == other ? half : T(0);
    return mine > other ? dy : tie;
  }
}

template <UnaryOp op, class T>
LATHE_HD_INLINE T unary(T x, T a, T b) {
  if constexpr (op == UnaryOp::Scale) return a * x;
  if constexpr (op == UnaryOp::AddScalar) return x + a;
  if constexpr (op == UnaryOp::Exp) return math::exp(x);
  if constexpr (op == UnaryOp::Log) return math::log(x);
  if constexpr (op == UnaryOp::Sqrt) return math::sqrt(x);
  if constexpr (op == UnaryOp::Square) return x * x;
  if constexpr (op == UnaryOp::Abs) return math::abs(x);
  if constexpr (op == UnaryOp::Pow) return math::pow(x, a);
  if constexpr (op == UnaryOp::Clamp) return math::clamp(x, a, b);
  if constexpr (op == UnaryOp::Relu) return T(0) > x ? T(0) : x;
  if constexpr (op == UnaryOp::Relu6) return math::clamp(x, T(0), T(6));
  if constexpr (op == UnaryOp::LeakyRelu) return x * (x > T(0) ? T(1) : a);
  if constexpr (op == UnaryOp::Elu) {
    const T negative = a * (math::exp(x) - T(1));
    return x > T(0) ? x : negative;
  }
  if constexpr (op == UnaryOp::Gelu) return x * math::normal(x).cdf;
  if constexpr (op == UnaryOp::GeluTanh) return T(0.5) * x * (T(1) + math::tanh(gelu_inner(x)));
  if constexpr (op == UnaryOp::Silu) return x * math::sigmoid(x);
  if constexpr (op == UnaryOp::Hardswish) return x * math::clamp(x + T(3), T(0), T(6)) / T(6);
  if constexpr (op == UnaryOp::Hardsigmoid) return math::clamp(x + T(3), T(0), T(6)) / T(6);
  if constexpr (op == UnaryOp::Sigmoid) return math::sigmoid(x);
  if constexpr (op == UnaryOp::Tanh) return math::tanh(x);
  if constexpr (op == UnaryOp::Softplus) {
    return (T(0) > x ? T(0) : x) + math::log1p(math::exp(-math::abs(x)));
  }
}

/// dx from dy and s, the tensor that saves_output(op) names.
template <UnaryOp op, class T>
LATHE_HD_INLINE T unary_backward(T dy, T s, T a, T b) {
  if constexpr (op == UnaryOp::Scale) return a * dy;
  if constexpr (op == UnaryOp::AddScalar) return dy;
  if constexpr (op == UnaryOp::Exp) return dy * s;
  if constexpr (op == UnaryOp::Log) return dy / s;
  if constexpr (op == UnaryOp::Sqrt) return T(0.5) * dy / s;
  if constexpr (op == UnaryOp::Square) return T(2) * dy * s;
  if constexpr (op == UnaryOp::Abs) return dy * (s > T(0) ? T(1) : s < T(0) ? T(-1) : T(0));
  if constexpr (op == UnaryOp::Pow) return a == T(0) ? T(0) : dy * a * math::pow(s, a - T(1));
  if constexpr (op == UnaryOp::Clamp) return (s >= a) & (s <= b) ? dy : T(0);
  if constexpr (op == UnaryOp::Relu) return s > T(0) ? dy : T(0);
  if constexpr (op == UnaryOp::Relu6) return (s > T(0)) & (s < T(6)) ? dy : T(0);
  if constexpr (op == UnaryOp::LeakyRelu) return dy * (s > T(0) ? T(1) : a);
  if constexpr (op == UnaryOp::Elu) {
    const T negative = a * math::exp(s);
    return dy * (s > T(0) ? T(1) : negative);
  }
  if constexpr (op == UnaryOp::Gelu) {
    const auto at = math::normal(s);
    return dy * (at.cdf + s * at.density);
  }
  if constexpr (op == UnaryOp::GeluTanh) {
    const T t = math::tanh(gelu_inner(s));
    const T inner_slope = T(kSqrt2OverPi) * (T(1) + T(3 * kGeluCubic) * s * s);
    return dy * T(0.5) * (T(1) + t + s * (T(1) - t * t) * inner_slope);
  }
  if constexpr (op == UnaryOp::Silu) {
    const T sigma = math::sigmoid(s);
    return dy * sigma * (T(1) + s * (T(1) - sigma));
  }
  if constexpr (op == UnaryOp::Hardswish) {
    const T middle = (T(2) * s + T(3)) / T(6);
    return dy * (s < T(-3) ? T(0) : s <= T(3) ? middle : T(1));
  }
  if constexpr (op == UnaryOp::Hardsigmoid) return (s > T(-3)) & (s < T(3)) ? dy / T(6) : T(0);
  if constexpr (op == UnaryOp::Sigmoid) return dy * s * (T(1) - s);
  if constexpr (op == UnaryOp::Tanh) return dy * (T(1) - s * s);
  if constexpr (op == UnaryOp::Softplus) return dy * math::sigmoid(s);
}

}  // namespace math
}  // namespace lathe
