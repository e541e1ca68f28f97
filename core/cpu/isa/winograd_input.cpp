// Padded, mapped rows and their transforms, see Notes [Winograd convolution] and [Winograd matrices].

#include "core/cpu/isa/conv_ahead.h"
#include "core/cpu/isa/norm_map.h"
#include "core/cpu/isa/winograd_matrices.h"
#include "core/cpu/isa_winograd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

template <class T>
constexpr int kVectors = kWinogradBlock / kLanes<T>;

int64_t clamp(int64_t value, int64_t lo, int64_t hi) {
  return value < lo ? lo : (value > hi ? hi : value);
}

template <class T>
T* zero_pixels(T* to, int64_t count) {
  for (int64_t i = 0; i < count * kVectors<T>; ++i) store(to + i * kLanes<T>, Vec<T>{});
  return to + count * kWinogradBlock;
}

/// A block of channels of `count` pixels, `step` apart: to = fn(offset, vector of the block).
template <class T, class Fn>
[[gnu::always_inline]] inline void fill(T* to, int64_t at, int64_t count, int64_t step, const Fn& fn) {
  for (int64_t i = 0; i < count; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors<T>; ++v) store(to + v * kLanes<T>, fn(at + v * kLanes<T>, v));
    to += kWinogradBlock;
    at += step;
  }
}

template <class T>
[[gnu::always_inline]] inline void load_block(Vec<T> (&to)[kVectors<T>], const T* from) {
#pragma GCC unroll 8
  for (int v = 0; v < kVectors<T>; ++v) to[v] = load(from + v * kLanes<T>);
}

template <class T, bool kRelu>
void fill_affine(T* to, const AffineRows<T>& o, int64_t channel, int64_t at, int64_t count, int64_t step) {
  Vec<T> mean[kVectors<T>], scale[kVectors<T>], shift[kVectors<T>];
  load_block(mean, o.mean + channel);
  load_block(scale, o.scale + channel);
  load_block(shift, o.shift + channel);
  fill(to, at, count, step, [&](int64_t p, int v) {
    const Vec<T> y = affine_value<Vec<T>>(load(o.x + p), mean[v], scale[v], shift[v]);
    return kRelu ? relu_value(y) : y;
  });
}

template <class T, bool kMask>
void fill_gradient(T* to, const GradientRows<T>& o, int64_t channel, int64_t at, int64_t count,
                   int64_t step) {
  Vec<T> mean[kVectors<T>], a[kVectors<T>], b[kVectors<T>], c[kVectors<T>];
  load_block(mean, o.mean + channel);
  load_block(a, o.a + channel);
  load_block(b, o.b + channel);
  load_block(c, o.c + channel);
  fill(to, at, count, step, [&](int64_t p, int v) {
    const Vec<T> dy = load(o.dy + p), g = kMask ? masked_value(dy, load(o.y + p)) : dy;
    return gradient_value<Vec<T>>(g, load(o.x + p), mean[v], a[v], b[v], c[v]);
  });
}

/// `count` pixels from offset `at` of the tensor on.
template <class T>
void fill_pixels(T* to, const WinogradSource<T>& s, int64_t channel, int64_t at, int64_t count) {
  const int64_t step = s.channels;
  if (s.gradient.x != nullptr) {
    s.gradient.y != nullptr ? fill_gradient<T, true>(to, s.gradient, channel, at, count, step)
                            : fill_gradient<T, false>(to, s.gradient, channel, at, count, step);
  } else if (s.affine.x != nullptr) {
    s.affine.relu ? fill_affine<T, true>(to, s.affine, channel, at, count, step)
                  : fill_affine<T, false>(to, s.affine, channel, at, count, step);
  } else {
    fill(to, at, count, step, [&](int64_t p, int) { return load(s.x + p); });
  }
}

/// Pixels [first, first + columns) of row `row`, zeros outside the image.
template <class T>
void fill_row(T* to, const WinogradSource<T>& s, int64_t channel, int64_t image, int64_t row, int64_t first,
              int64_t columns) {
  const bool inside = row >= 0 && row < s.height;
  const int64_t lo = inside ? clamp(-first, 0, columns) : columns;
  const int64_t hi = clamp(s.width - first, lo, columns);
  to = zero_pixels(to, lo);
  const int64_t at = ((image * s.height + row) * s.width + first + lo) * s.channels + channel;
  if (hi > lo) fill_pixels(to, s, channel, at, hi - lo);
  zero_pixels(to + (hi - lo) * kWinogradBlock, columns - hi);
}

/// The points of one row of the transformed patch.
template <class T>
[[gnu::always_inline]] inline void store_patch_row(T* to, int64_t point, const Vec<T> (&t)[6]) {
  Vec<T> o[6];
  winograd_patch<T>(t, o);
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) store(to + j * point, o[j]);
}

// B^T d first, a few rows at a time, so that they stay in registers; d is in L1, loads are cheap.
template <class T>
[[gnu::always_inline]] inline void transform_patch(T* to, int64_t point, const T* const (&rows)[6],
                                                   int64_t at) {
  const auto d = [&](int i, int j) { return load(rows[i] + at + j * kWinogradBlock); };
  Vec<T> t[4][6];
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    const Vec<T> d1 = d(1, j), d2 = d(2, j), d3 = d(3, j), d4 = d(4, j);
    winograd_patch_12<T>(d1, d2, d3, d4, t[0][j], t[1][j]);
    if (kRegisters == 32) winograd_patch_34<T>(d1, d2, d3, d4, t[2][j], t[3][j]);
  }
  store_patch_row(to + 6 * point, point, t[0]);
  store_patch_row(to + 12 * point, point, t[1]);
  if (kRegisters < 32) {
#pragma GCC unroll 6
    for (int j = 0; j < 6; ++j) {
      winograd_patch_34<T>(d(1, j), d(2, j), d(3, j), d(4, j), t[2][j], t[3][j]);
    }
  }
  store_patch_row(to + 18 * point, point, t[2]);
  store_patch_row(to + 24 * point, point, t[3]);
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    t[0][j] = winograd_patch_end<T>(d(0, j), d(2, j), d(4, j));
    t[1][j] = winograd_patch_end<T>(d(1, j), d(3, j), d(5, j));
  }
  store_patch_row(to, point, t[0]);
  store_patch_row(to + 30 * point, point, t[1]);
}

template <class T>
[[gnu::always_inline]] inline void store_output_row(T* to, int64_t point, const Vec<T> (&t)[4]) {
  Vec<T> o[6];
  winograd_output_adjoint<T>(t, o);
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) store(to + j * point, o[j]);
}

template <class T>
[[gnu::always_inline]] inline void transform_outputs(T* to, int64_t point, const T* const (&rows)[4],
                                                     int64_t at) {
  const auto d = [&](int i, int j) { return load(rows[i] + at + j * kWinogradBlock); };
  Vec<T> t[2][4];
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      winograd_output_adjoint<T>(d(0, j), d(1, j), d(2, j), d(3, j), T(half + 1), t[0][j], t[1][j]);
    }
    store_output_row(to + (6 + 12 * half) * point, point, t[0]);
    store_output_row(to + (12 + 12 * half) * point, point, t[1]);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    t[0][j] = d(0, j);
    t[1][j] = d(3, j);
  }
  store_output_row(to, point, t[0]);
  store_output_row(to + 30 * point, point, t[1]);
}

/// The tiles of a strip, from the six rows of its patches; `tile` is the first.
template <class T>
void transform_strip(const WinogradInputJob<T>& job, const T* const (&rows)[6], int64_t block, int64_t tile,
                     Ahead (&ahead)[3]) {
  for (Ahead& a : ahead) a.advance();
  if (job.patches.data != nullptr) {
    T* to = job.patches.data + block * job.patches.block + tile * kWinogradBlock;
    for (int64_t j = 0; j < job.box.columns; ++j, to += kWinogradBlock) {
      for (int v = 0; v < kVectors<T>; ++v) {
        transform_patch(to + v * kLanes<T>, job.patches.point, rows,
                        j * kWinogradTile * kWinogradBlock + v * kLanes<T>);
      }
    }
  }
  if (job.outputs.data != nullptr) {
    T* to = job.outputs.data + block * job.outputs.block + tile * kWinogradBlock;
    const T* const inner[4] = {rows[job.inner], rows[job.inner + 1], rows[job.inner + 2],
                               rows[job.inner + 3]};
    for (int64_t j = 0; j < job.box.columns; ++j, to += kWinogradBlock) {
      for (int v = 0; v < kVectors<T>; ++v) {
        transform_outputs(to + v * kLanes<T>, job.outputs.point, inner,
                          (j * kWinogradTile + job.inner) * kWinogradBlock + v * kLanes<T>);
      }
    }
  }
}

/// Row r of patches lies in the ring's row r mod 6: the last two of a strip are the first two of the next.
template <class T>
void run(const WinogradInputJob<T>& job) {
  const WinogradBox& box = job.box;
  const int64_t strips = job.source.channels / kWinogradBlock * box.images * box.rows;
  Ahead ahead[3] = {Ahead(job.ahead[0], strips), Ahead(job.ahead[1], strips), Ahead(job.ahead[2], strips)};
  const int64_t columns = kWinogradTile * box.columns + 2, size = columns * kWinogradBlock;
  for (int64_t b = 0; b * kWinogradBlock < job.source.channels; ++b) {
    T* ring = job.keep ? job.ring + b * kWinogradPatch * size : job.ring;
    for (int64_t n = 0; n < box.images; ++n) {
      for (int64_t i = 0; i < box.rows; ++i) {
        const bool begins = i == 0 && (n > 0 || job.fresh || !job.keep);
        const int64_t top = kWinogradTile * (box.row + i);
        const T* rows[kWinogradPatch];
        for (int64_t r = 0; r < kWinogradPatch; ++r) {
          T* row = ring + (top + r) % kWinogradPatch * size;
          rows[r] = row;
          if (r < 2 && !begins) continue;
          fill_row(row, job.source, b * kWinogradBlock, box.image + n, top + r - job.lead,
                   kWinogradTile * box.column - job.lead, columns);
        }
        transform_strip(job, rows, b, (n * box.rows + i) * box.columns, ahead);
      }
    }
  }
}

}  // namespace

void winograd_input_f32(const WinogradInputJob<float>& job) {
  run(job);
}
void winograd_input_f64(const WinogradInputJob<double>& job) {
  run(job);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
