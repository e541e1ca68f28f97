#include "core/cpu/isa_elementwise.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

template <class Fn>
void with_op(UnaryOp op, const Fn& fn) {
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

template <class T>
void unary(T* y, const T* x, int64_t n, UnaryOp op, UnaryParameters p) {
  const T a = static_cast<T>(p.a), b = static_cast<T>(p.b);
  with_op(op, [=]<UnaryOp kOp>() {
    for (int64_t i = 0; i < n; ++i) y[i] = math::unary<kOp>(x[i], a, b);
  });
}

template <class T>
void unary_backward(T* dx, const T* dy, const T* s, int64_t n, UnaryOp op, UnaryParameters p) {
  const T a = static_cast<T>(p.a), b = static_cast<T>(p.b);
  with_op(op, [=]<UnaryOp kOp>() {
    for (int64_t i = 0; i < n; ++i) dx[i] = math::unary_backward<kOp>(dy[i], s[i], a, b);
  });
}

template <class T>
void glu(T* y, const T* a, const T* b, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] * math::sigmoid(b[i]);
}

template <class T>
void glu_backward(T* da, T* db, const T* dy, const T* a, const T* b, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const T gate = math::sigmoid(b[i]);
    da[i] = dy[i] * gate;
    db[i] = dy[i] * a[i] * gate * (T(1) - gate);
  }
}

}  // namespace

void unary_f32(float* y, const float* x, int64_t n, UnaryOp op, UnaryParameters p) {
  unary(y, x, n, op, p);
}
void unary_f64(double* y, const double* x, int64_t n, UnaryOp op, UnaryParameters p) {
  unary(y, x, n, op, p);
}
void unary_backward_f32(float* dx, const float* dy, const float* s, int64_t n, UnaryOp op,
                        UnaryParameters p) {
  unary_backward(dx, dy, s, n, op, p);
}
void unary_backward_f64(double* dx, const double* dy, const double* s, int64_t n, UnaryOp op,
                        UnaryParameters p) {
  unary_backward(dx, dy, s, n, op, p);
}
void glu_f32(float* y, const float* a, const float* b, int64_t n) {
  glu(y, a, b, n);
}
void glu_f64(double* y, const double* a, const double* b, int64_t n) {
  glu(y, a, b, n);
}
void glu_backward_f32(float* da, float* db, const float* dy, const float* a, const float* b, int64_t n) {
  glu_backward(da, db, dy, a, b, n);
}
void glu_backward_f64(double* da, double* db, const double* dy, const double* a, const double* b, int64_t n) {
  glu_backward(da, db, dy, a, b, n);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
