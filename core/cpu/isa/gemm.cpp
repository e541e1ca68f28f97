// Note [Eigen per instruction set]: this file is compiled once per instruction set, and Eigen's templates are
// weak symbols: with one name for all three, the linker would keep one copy, perhaps the one that needs
// AVX-512, for every instruction set. So Eigen's namespace is renamed per instruction set before its headers
// are read; nothing of it leaves this file. Maps are unaligned, because Eigen's idea of alignment differs
// from one instruction set to the next.
#define LATHE_JOIN_(a, b) a##b
#define LATHE_JOIN(a, b) LATHE_JOIN_(a, b)
#define Eigen LATHE_JOIN(LatheEigen_, LATHE_ISA_NAMESPACE)

#define EIGEN_DONT_PARALLELIZE  // its threading changes the bits with the thread count
#define EIGEN_NO_DEBUG
#define EIGEN_MPL2_ONLY
// Fixed cache sizes instead of CPUID's answer: blocking, and with it the order of sums, is the same on every
// machine. Zen 3's sizes; larger caches lose little.
#define EIGEN_NO_CPUID
#define EIGEN_DEFAULT_L1_CACHE_SIZE (32 * 1024)
#define EIGEN_DEFAULT_L2_CACHE_SIZE (512 * 1024)
#define EIGEN_DEFAULT_L3_CACHE_SIZE (4 * 1024 * 1024)

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the undefined registers of its own AVX-512 intrinsics for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <Eigen/Core>

#include "core/cpu/isa_gemm.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using In = Eigen::Map<const Matrix<T>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <class T>
using Out = Eigen::Map<Matrix<T>, Eigen::Unaligned, Eigen::OuterStride<>>;

template <class C, class A, class B>
void multiply(C& c, const A& a, const B& b, bool accumulate) {
  if (accumulate) {
    c.noalias() += a * b;
  } else {
    c.noalias() = a * b;
  }
}

template <class T>
void gemm(T* c, const T* a, const T* b, const GemmShape& s) {
  if (s.m == 0 || s.n == 0) return;
  Out<T> out(c, s.m, s.n, Eigen::OuterStride<>(s.ldc));
  if (s.k == 0) {
    if (!s.accumulate) out.setZero();
    return;
  }
  const In<T> left(a, s.transpose_a ? s.k : s.m, s.transpose_a ? s.m : s.k, Eigen::OuterStride<>(s.lda));
  const In<T> right(b, s.transpose_b ? s.n : s.k, s.transpose_b ? s.k : s.n, Eigen::OuterStride<>(s.ldb));
  if (s.transpose_a && s.transpose_b) {
    multiply(out, left.transpose(), right.transpose(), s.accumulate);
  } else if (s.transpose_a) {
    multiply(out, left.transpose(), right, s.accumulate);
  } else if (s.transpose_b) {
    multiply(out, left, right.transpose(), s.accumulate);
  } else {
    multiply(out, left, right, s.accumulate);
  }
}

}  // namespace

void serial_gemm_f32(float* c, const float* a, const float* b, const GemmShape& shape) {
  gemm(c, a, b, shape);
}
void serial_gemm_f64(double* c, const double* a, const double* b, const GemmShape& shape) {
  gemm(c, a, b, shape);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
