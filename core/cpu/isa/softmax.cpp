#include "core/cpu/isa/vec.h"
#include "core/cpu/isa_softmax.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

template <class T>
T largest(const T* x, int64_t n) {
  Vec<T> best = splat(kMinusInf<T>);
  for_each_vec<T>(
      n, [&](int64_t i, int64_t count) { best = max_of<T>(best, load_up_to(x + i, count, kMinusInf<T>)); });
  return max_lanes<T>(best);
}

template <class T>
T sum_exp(const T* x, T shift, int64_t n) {
  Vec<T> sum = splat(T{0});
  for_each_vec<T>(
      n, [&](int64_t i, int64_t count) { sum += exp_lanes(load_up_to(x + i, count, kMinusInf<T>) - shift); });
  return sum_lanes<T>(sum);
}

template <class T>
T log_sum_exp(const T* x, int64_t n) {
  const T shift = largest(x, n);
  return shift == kMinusInf<T> ? shift : shift + log_of(sum_exp(x, shift, n));
}

template <class T>
void scaled_exp(T* y, const T* x, T shift, T scale, int64_t n) {
  for_each_vec<T>(n, [&](int64_t i, int64_t count) {
    store_up_to<T>(y + i, exp_lanes(load_up_to(x + i, count, kMinusInf<T>) - shift) * scale, count);
  });
}

template <class T>
void softmax_row(T* y, const T* x, int64_t n, bool log) {
  const T shift = largest(x, n);
  if (log) {
    const T total = log_of(sum_exp(x, shift, n));
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - shift) - total;
    return;
  }
  Vec<T> sum = splat(T{0});
  for_each_vec<T>(n, [&](int64_t i, int64_t count) {
    const Vec<T> e = exp_lanes(load_up_to(x + i, count, kMinusInf<T>) - shift);
    sum += e;
    store_up_to<T>(y + i, e, count);
  });
  const T scale = 1 / sum_lanes<T>(sum);
  for (int64_t i = 0; i < n; ++i) y[i] *= scale;
}

// `width` <= kLanes columns side by side, rows `stride` apart.
template <class T>
void softmax_columns(T* y, const T* x, const SoftmaxShape& s, int64_t width) {
  const int64_t stride = s.count;
  Vec<T> shift = splat(kMinusInf<T>), sum = splat(T{0});
  for (int64_t i = 0; i < s.n; ++i) {
    shift = max_of<T>(shift, load_up_to(x + i * stride, width, kMinusInf<T>));
  }
  for (int64_t i = 0; i < s.n; ++i) {
    const Vec<T> e = exp_lanes(load_up_to(x + i * stride, width, T{0}) - shift);
    sum += e;
    if (!s.log) store_up_to<T>(y + i * stride, e, width);
  }
  if (!s.log) {
    for (int64_t i = 0; i < s.n; ++i) {
      store_up_to<T>(y + i * stride, load_up_to(y + i * stride, width, T{0}) / sum, width);
    }
    return;
  }
  for (int64_t lane = 0; lane < width; ++lane) sum[lane] = log_of(sum[lane]);
  for (int64_t i = 0; i < s.n; ++i) {
    store_up_to<T>(y + i * stride, (load_up_to(x + i * stride, width, T{0}) - shift) - sum, width);
  }
}

template <class T>
void gradient_row(T* dx, const T* dy, const T* y, int64_t n, bool log) {
  Vec<T> sum = splat(T{0});
  for_each_vec<T>(n, [&](int64_t i, int64_t count) {
    const Vec<T> g = load_up_to(dy + i, count, T{0});
    sum += log ? g : g * load_up_to(y + i, count, T{0});
  });
  const T total = sum_lanes<T>(sum);
  for_each_vec<T>(n, [&](int64_t i, int64_t count) {
    const Vec<T> g = load_up_to(dy + i, count, T{0}), v = load_up_to(y + i, count, T{0});
    store_up_to<T>(dx + i, log ? g - exp_lanes(v) * total : v * (g - total), count);
  });
}

template <class T>
void gradient_columns(T* dx, const T* dy, const T* y, const SoftmaxShape& s, int64_t width) {
  const int64_t stride = s.count;
  Vec<T> total = splat(T{0});
  for (int64_t i = 0; i < s.n; ++i) {
    const Vec<T> g = load_up_to(dy + i * stride, width, T{0});
    total += s.log ? g : g * load_up_to(y + i * stride, width, T{0});
  }
  for (int64_t i = 0; i < s.n; ++i) {
    const int64_t at = i * stride;
    const Vec<T> g = load_up_to(dy + at, width, T{0}), v = load_up_to(y + at, width, T{0});
    store_up_to<T>(dx + at, s.log ? g - exp_lanes(v) * total : v * (g - total), width);
  }
}

template <class T>
void softmax(T* y, const T* x, const SoftmaxShape& s) {
  if (s.columns) {
    for_each_vec<T>(s.count, [&](int64_t j, int64_t width) { softmax_columns(y + j, x + j, s, width); });
  } else {
    for (int64_t i = 0; i < s.count; ++i) softmax_row(y + i * s.n, x + i * s.n, s.n, s.log);
  }
}

template <class T>
void softmax_gradient(T* dx, const T* dy, const T* y, const SoftmaxShape& s) {
  if (s.columns) {
    for_each_vec<T>(s.count,
                    [&](int64_t j, int64_t width) { gradient_columns(dx + j, dy + j, y + j, s, width); });
  } else {
    for (int64_t i = 0; i < s.count; ++i) {
      gradient_row(dx + i * s.n, dy + i * s.n, y + i * s.n, s.n, s.log);
    }
  }
}

}  // namespace

void softmax_f32(float* y, const float* x, const SoftmaxShape& shape) {
  softmax(y, x, shape);
}
void softmax_f64(double* y, const double* x, const SoftmaxShape& shape) {
  softmax(y, x, shape);
}
void softmax_gradient_f32(float* dx, const float* dy, const float* y, const SoftmaxShape& shape) {
  softmax_gradient(dx, dy, y, shape);
}
void softmax_gradient_f64(double* dx, const double* dy, const double* y, const SoftmaxShape& shape) {
  softmax_gradient(dx, dy, y, shape);
}
float log_sum_exp_f32(const float* x, int64_t n) {
  return log_sum_exp(x, n);
}
double log_sum_exp_f64(const double* x, int64_t n) {
  return log_sum_exp(x, n);
}
void scaled_exp_f32(float* y, const float* x, float shift, float scale, int64_t n) {
  scaled_exp(y, x, shift, scale, n);
}
void scaled_exp_f64(double* y, const double* x, double shift, double scale, int64_t n) {
  scaled_exp(y, x, shift, scale, n);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
