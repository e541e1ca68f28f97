#include "core/cpu/isa_elementwise.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

/// fn(i of the dense operands, i of a, i of b) over a strip. The inner loop knows its steps: they are
/// constants.
template <int a_step, int b_step, class Fn>
void walk_steps(const Strip& s, const Fn& fn) {
  for (int64_t row = 0; row < s.rows; ++row) {
    const int64_t a0 = row * s.a_row, b0 = row * s.b_row, y0 = row * s.n;
    for (int64_t j = 0; j < s.n; ++j) fn(y0 + j, a0 + j * a_step, b0 + j * b_step);
  }
}

template <class Fn>
void walk(const Strip& s, const Fn& fn) {
  if (s.a_step != 0 && s.b_step != 0) {
    walk_steps<1, 1>(s, fn);
  } else if (s.a_step != 0) {
    walk_steps<1, 0>(s, fn);
  } else if (s.b_step != 0) {
    walk_steps<0, 1>(s, fn);
  } else {
    walk_steps<0, 0>(s, fn);
  }
}

template <class T>
void binary(T* y, const T* a, const T* b, const Strip& strip, BinaryOp op) {
  with_binary_op(op, [&]<BinaryOp kOp>() {
    walk(strip, [=](int64_t i, int64_t ia, int64_t ib) { y[i] = math::binary<kOp>(a[ia], b[ib]); });
  });
}

template <class T>
void binary_backward(T* dx, const T* dy, const T* a, const T* b, const Strip& strip, BinaryOp op, int side) {
  with_binary_op(op, [&]<BinaryOp kOp>() {
    if (side == 0) {
      walk(strip, [=](int64_t i, int64_t ia, int64_t ib) {
        dx[i] = math::binary_backward<kOp, 0>(dy[i], a[ia], b[ib]);
      });
    } else {
      walk(strip, [=](int64_t i, int64_t ia, int64_t ib) {
        dx[i] = math::binary_backward<kOp, 1>(dy[i], a[ia], b[ib]);
      });
    }
  });
}

template <class T>
void accumulate(T* sum, const T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) sum[i] += x[i];
}

template <class T>
void accumulate_scaled(T* sum, const T* x, int64_t n, T factor) {
  for (int64_t i = 0; i < n; ++i) sum[i] += factor * x[i];
}

}  // namespace

void binary_f32(float* y, const float* a, const float* b, const Strip& strip, BinaryOp op) {
  binary(y, a, b, strip, op);
}
void binary_f64(double* y, const double* a, const double* b, const Strip& strip, BinaryOp op) {
  binary(y, a, b, strip, op);
}
void binary_backward_f32(float* dx, const float* dy, const float* a, const float* b, const Strip& strip,
                         BinaryOp op, int side) {
  binary_backward(dx, dy, a, b, strip, op, side);
}
void binary_backward_f64(double* dx, const double* dy, const double* a, const double* b, const Strip& strip,
                         BinaryOp op, int side) {
  binary_backward(dx, dy, a, b, strip, op, side);
}
void accumulate_f32(float* sum, const float* x, int64_t n) {
  accumulate(sum, x, n);
}
void accumulate_f64(double* sum, const double* x, int64_t n) {
  accumulate(sum, x, n);
}
void accumulate_scaled_f32(float* sum, const float* x, int64_t n, float factor) {
  accumulate_scaled(sum, x, n, factor);
}
void accumulate_scaled_f64(double* sum, const double* x, int64_t n, double factor) {
  accumulate_scaled(sum, x, n, factor);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
