#include "core/cpu/isa_optim.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

template <class T>
void sgd(T* __restrict p, const T* __restrict g, T* __restrict momentum, int64_t n, SgdScalars<T> s,
         bool nesterov) {
  if (momentum == nullptr) {
    for (int64_t i = 0; i < n; ++i) sgd_element(p[i], g[i], s);
  } else if (nesterov) {
    for (int64_t i = 0; i < n; ++i) sgd_element<true>(p[i], g[i], momentum[i], s);
  } else {
    for (int64_t i = 0; i < n; ++i) sgd_element<false>(p[i], g[i], momentum[i], s);
  }
}

template <class T>
void adam(T* __restrict p, const T* __restrict g, T* __restrict m, T* __restrict v, int64_t n,
          AdamScalars<T> s) {
  for (int64_t i = 0; i < n; ++i) adam_element(p[i], g[i], m[i], v[i], s);
}

template <class T>
void rmsprop(T* __restrict p, const T* __restrict g, T* __restrict v, T* __restrict momentum, int64_t n,
             RmspropScalars<T> s) {
  if (momentum != nullptr) {
    for (int64_t i = 0; i < n; ++i) rmsprop_element(p[i], g[i], v[i], momentum[i], s);
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    T none = 0;
    rmsprop_element(p[i], g[i], v[i], none, s);
  }
}

template <class T>
void ema(T* __restrict average, const T* __restrict x, int64_t n, T decay, T rest) {
  for (int64_t i = 0; i < n; ++i) average[i] = decay * average[i] + rest * x[i];
}

template <class T>
double squares(const T* x, int64_t n) {
  constexpr int kLanes = 8;
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const double value = x[i + lane];
      lanes[lane] += value * value;
    }
  }
  for (int lane = 0; i < n; ++i, ++lane) {
    const double value = x[i];
    lanes[lane] += value * value;
  }
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

}  // namespace

void sgd_f32(float* p, const float* g, float* momentum, int64_t n, const SgdScalars<float>& s,
             bool nesterov) {
  sgd(p, g, momentum, n, s, nesterov);
}
void sgd_f64(double* p, const double* g, double* momentum, int64_t n, const SgdScalars<double>& s,
             bool nesterov) {
  sgd(p, g, momentum, n, s, nesterov);
}
void adam_f32(float* p, const float* g, float* m, float* v, int64_t n, const AdamScalars<float>& s) {
  adam(p, g, m, v, n, s);
}
void adam_f64(double* p, const double* g, double* m, double* v, int64_t n, const AdamScalars<double>& s) {
  adam(p, g, m, v, n, s);
}
void rmsprop_f32(float* p, const float* g, float* v, float* momentum, int64_t n,
                 const RmspropScalars<float>& s) {
  rmsprop(p, g, v, momentum, n, s);
}
void rmsprop_f64(double* p, const double* g, double* v, double* momentum, int64_t n,
                 const RmspropScalars<double>& s) {
  rmsprop(p, g, v, momentum, n, s);
}
void ema_f32(float* average, const float* x, int64_t n, double decay) {
  ema(average, x, n, static_cast<float>(decay), static_cast<float>(1 - decay));
}
void ema_f64(double* average, const double* x, int64_t n, double decay) {
  ema(average, x, n, decay, 1 - decay);
}
double squares_f32(const float* x, int64_t n) {
  return squares(x, n);
}
double squares_f64(const double* x, int64_t n) {
  return squares(x, n);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
