#include "core/cpu/isa_reduce.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

constexpr int kLanes = 16;

template <class T>
double sum(const T* x, int64_t n) {
  double lane[kLanes] = {};
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) lane[l] += static_cast<double>(x[i + l]);
  }
  for (int64_t i = whole; i < n; ++i) lane[i - whole] += static_cast<double>(x[i]);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  }
  return lane[0];
}

template <class T>
void add_rows(double* total, const T* x, int64_t rows, int64_t columns, int64_t stride) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {  // four rows per pass over `total`, same order of additions
    const T* row = x + i * stride;
    for (int64_t j = 0; j < columns; ++j) {
      double value = total[j];
      value += static_cast<double>(row[j]);
      value += static_cast<double>(row[j + stride]);
      value += static_cast<double>(row[j + 2 * stride]);
      value += static_cast<double>(row[j + 3 * stride]);
      total[j] = value;
    }
  }
  for (; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) total[j] += static_cast<double>(x[i * stride + j]);
  }
}

}  // namespace

double sum_f32(const float* x, int64_t n) {
  return sum(x, n);
}
double sum_f64(const double* x, int64_t n) {
  return sum(x, n);
}
void add_rows_f32(double* total, const float* x, int64_t rows, int64_t columns, int64_t stride) {
  add_rows(total, x, rows, columns, stride);
}
void add_rows_f64(double* total, const double* x, int64_t rows, int64_t columns, int64_t stride) {
  add_rows(total, x, rows, columns, stride);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
