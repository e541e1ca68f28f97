#pragma once
// The transforms of F(4x4, 3x3) along one axis, for values or vectors of them.
//
// Note [Winograd matrices]
// Lavin and Gray 2016 (arXiv 1509.09308): a tile of 4 outputs of a correlation with 3 taps is
// y = A^T ((G g) * (B^T d)), * elementwise over 6 points; polynomials are interpolated at 0, 1, -1, 2, -2 and
// infinity. In two dimensions y = A^T ((G g G^T) * (B^T d B)) A.
//
//         4  0 -5  0  1  0         1/4    0     0           1  1  1  1  1  0
//         0 -4 -4  1  1  0        -1/6  -1/6  -1/6    A^T = 0  1 -1  2 -2  0
//   B^T = 0  4 -4 -1  1  0    G = -1/6   1/6  -1/6          0  1  1  4  4  0
//         0 -2 -1  2  1  0        1/24  1/12   1/6          0  1 -1  8 -8  1
//         0  2 -1 -2  1  0        1/24 -1/12   1/6
//         0  4  0 -5  0  1          0     0     1
//
// Gradients are the adjoints: that of the weights is G^T ((B^T d B) * (A dy A^T)) G, summed over tiles.
// Rows 1, 2 and 3, 4 of each matrix share their even and odd halves.

#include "core/simd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {

/// Rows 1 and 2 of B^T d.
template <class T>
[[gnu::always_inline]] inline void winograd_patch_12(Vec<T> d1, Vec<T> d2, Vec<T> d3, Vec<T> d4, Vec<T>& o1,
                                                     Vec<T>& o2) {
  const Vec<T> even = d4 - d2 * T(4), odd = d3 - d1 * T(4);
  o1 = even + odd;
  o2 = even - odd;
}
/// Rows 3 and 4.
template <class T>
[[gnu::always_inline]] inline void winograd_patch_34(Vec<T> d1, Vec<T> d2, Vec<T> d3, Vec<T> d4, Vec<T>& o3,
                                                     Vec<T>& o4) {
  const Vec<T> even = d4 - d2, odd = d3 - d1;
  o3 = even + odd * T(2);
  o4 = even - odd * T(2);
}
/// Row 0 from (d0, d2, d4), row 5 from (d1, d3, d5).
template <class T>
[[gnu::always_inline]] inline Vec<T> winograd_patch_end(Vec<T> a, Vec<T> b, Vec<T> c) {
  return a * T(4) + (c - b * T(5));
}
/// B^T d.
template <class T>
[[gnu::always_inline]] inline void winograd_patch(const Vec<T> (&d)[6], Vec<T> (&o)[6]) {
  o[0] = winograd_patch_end<T>(d[0], d[2], d[4]);
  winograd_patch_12<T>(d[1], d[2], d[3], d[4], o[1], o[2]);
  winograd_patch_34<T>(d[1], d[2], d[3], d[4], o[3], o[4]);
  o[5] = winograd_patch_end<T>(d[1], d[3], d[5]);
}

/// Rows 0 and 2 of A^T m.
template <class T>
[[gnu::always_inline]] inline void winograd_output_02(Vec<T> m0, Vec<T> m1, Vec<T> m2, Vec<T> m3, Vec<T> m4,
                                                      Vec<T>& y0, Vec<T>& y2) {
  const Vec<T> sum12 = m1 + m2, sum34 = m3 + m4;
  y0 = m0 + (sum12 + sum34);
  y2 = sum12 + sum34 * T(4);
}
/// Rows 1 and 3.
template <class T>
[[gnu::always_inline]] inline void winograd_output_13(Vec<T> m1, Vec<T> m2, Vec<T> m3, Vec<T> m4, Vec<T> m5,
                                                      Vec<T>& y1, Vec<T>& y3) {
  const Vec<T> diff12 = m1 - m2, diff34 = m3 - m4;
  y1 = diff12 + diff34 * T(2);
  y3 = diff12 + diff34 * T(8) + m5;
}
/// A^T m.
template <class T>
[[gnu::always_inline]] inline void winograd_output(const Vec<T> (&m)[6], Vec<T> (&y)[4]) {
  winograd_output_02<T>(m[0], m[1], m[2], m[3], m[4], y[0], y[2]);
  winograd_output_13<T>(m[1], m[2], m[3], m[4], m[5], y[1], y[3]);
}
/// Rows 1 and 2 (scale 1) or 3 and 4 (scale 2) of A y; rows 0 and 5 are y0 and y3.
template <class T>
[[gnu::always_inline]] inline void winograd_output_adjoint(Vec<T> y0, Vec<T> y1, Vec<T> y2, Vec<T> y3,
                                                           T scale, Vec<T>& plus, Vec<T>& minus) {
  const Vec<T> even = y0 + y2 * (scale * scale), odd = (y1 + y3 * (scale * scale)) * scale;
  plus = even + odd;
  minus = even - odd;
}
/// A y.
template <class T>
[[gnu::always_inline]] inline void winograd_output_adjoint(const Vec<T> (&y)[4], Vec<T> (&m)[6]) {
  m[0] = y[0];
  winograd_output_adjoint<T>(y[0], y[1], y[2], y[3], T(1), m[1], m[2]);
  winograd_output_adjoint<T>(y[0], y[1], y[2], y[3], T(2), m[3], m[4]);
  m[5] = y[3];
}

/// G g.
template <class T>
[[gnu::always_inline]] inline void winograd_weight(Vec<T> g0, Vec<T> g1, Vec<T> g2, Vec<T> (&u)[6]) {
  constexpr T k4 = T(1) / 4, k6 = T(1) / 6, k12 = T(1) / 12, k24 = T(1) / 24;
  const Vec<T> even1 = (g0 + g2) * -k6, odd1 = g1 * k6;
  const Vec<T> even2 = g0 * k24 + g2 * k6, odd2 = g1 * k12;
  u[0] = g0 * k4;
  u[1] = even1 - odd1;
  u[2] = even1 + odd1;
  u[3] = even2 + odd2;
  u[4] = even2 - odd2;
  u[5] = g2;
}
/// G^T u.
template <class T>
[[gnu::always_inline]] inline void winograd_weight_adjoint(const Vec<T> (&u)[6], Vec<T> (&g)[3]) {
  constexpr T k4 = T(1) / 4, k6 = T(1) / 6, k12 = T(1) / 12, k24 = T(1) / 24;
  const Vec<T> sum12 = u[1] + u[2], sum34 = u[3] + u[4], diff21 = u[2] - u[1], diff34 = u[3] - u[4];
  g[0] = u[0] * k4 - sum12 * k6 + sum34 * k24;
  g[1] = diff21 * k6 + diff34 * k12;
  g[2] = (sum34 - sum12) * k6 + u[5];
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
