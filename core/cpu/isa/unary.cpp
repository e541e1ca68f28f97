#include "core/cpu/isa_elementwise.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

template <class T>
void unary(T* y, const T* x, int64_t n, UnaryOp op, UnaryParameters p) {
  const T a = static_cast<T>(p.a), b = static_cast<T>(p.b);
  with_unary_op(op, [=]<UnaryOp kOp>() {
    for (int64_t i = 0; i < n; ++i) y[i] = math::unary<kOp>(x[i], a, b);
  });
}

template <class T>
void unary_backward(T* dx, const T* dy, const T* s, int64_t n, UnaryOp op, UnaryParameters p) {
  const T a = static_cast<T>(p.a), b = static_cast<T>(p.b);
  with_unary_op(op, [=]<UnaryOp kOp>() {
    for (int64_t i = 0; i < n; ++i) dx[i] = math::unary_backward<kOp>(dy[i], s[i], a, b);
  });
}

template <class T>
void gelu_gradient(T* __restrict dx, T* __restrict y, const T* __restrict x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const T s = x[i];
    y[i] = math::unary<UnaryOp::Gelu>(s, T(0), T(0));
    dx[i] = math::unary_backward<UnaryOp::Gelu>(dx[i], s, T(0), T(0));
  }
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
void gelu_gradient_f32(float* dx, float* y, const float* x, int64_t n) {
  gelu_gradient(dx, y, x, n);
}
void gelu_gradient_f64(double* dx, double* y, const double* x, int64_t n) {
  gelu_gradient(dx, y, x, n);
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
