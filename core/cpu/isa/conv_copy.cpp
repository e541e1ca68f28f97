// Filling the padded scratch of a convolution, see Note [Convolution tiling].

#include "core/cpu/conv_tile.h"
#include "core/cpu/isa/conv_map.h"
#include "core/simd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

template <class T>
void zero(T* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = 0;
}

template <class T>
void copy_values(T* to, const T* from, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store(to + i, load(from + i));
  for (; i < n; ++i) to[i] = from[i];
}

/// `count` pixels of `channels` <= 16 channels, zeros.
template <class T>
void zero_pixels(T* to, int64_t count, int64_t to_step, int64_t channels) {
  constexpr int kVectors = kConvBlock / kLanes<T>;
  for (int64_t i = 0; i < count; ++i, to += to_step) {
    if (channels == kConvBlock) {
      for (int v = 0; v < kVectors; ++v) store(to + v * kLanes<T>, Vec<T>{});
    } else {
      zero(to, channels);
    }
  }
}

template <class T>
T value_at(const ConvCopyJob<T>& job, int64_t at, int64_t channel) {
  const ConvMapping<T>& m = job.mapping;
  const T x = job.x[at];
  if (m.map == ConvMap::Identity) return x;
  if (m.map == ConvMap::Affine) {
    const T value = affine_value(x, m.mean[channel], m.scale[channel], m.shift[channel]);
    return m.relu ? relu_value(value) : value;
  }
  const T g = m.y == nullptr ? m.g[at] : masked_value(m.g[at], m.y[at]);
  return gradient_value(g, x, m.mean[channel], m.scale[channel], m.slope[channel], m.shift[channel]);
}

/// `count` pixels of 16 channels from offset `at` of the tensors on, steps in elements. The channels'
/// constants stay in registers.
template <ConvMap kMap, bool kSwitch, class T>
void copy_block(const ConvCopyJob<T>& job, T* to, int64_t at, int64_t count, int64_t from_step,
                int64_t channel) {
  constexpr int kVectors = kConvBlock / kLanes<T>, kL = kLanes<T>;
  constexpr bool kMapped = kMap != ConvMap::Identity, kGradient = kMap == ConvMap::Gradient;
  const ConvMapping<T>& m = job.mapping;
  Vec<T> mean[kVectors], scale[kVectors], slope[kVectors], shift[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const int64_t c = channel + v * kL;
    mean[v] = kMapped ? load(m.mean + c) : Vec<T>{};
    scale[v] = kMapped ? load(m.scale + c) : Vec<T>{};
    shift[v] = kMapped ? load(m.shift + c) : Vec<T>{};
    slope[v] = kGradient ? load(m.slope + c) : Vec<T>{};
  }
  const int64_t to_step = job.s_pixel;
  const T *x = job.x + at, *g = kGradient ? m.g + at : x, *y = kGradient && kSwitch ? m.y + at : x;
  for (int64_t i = 0; i < count; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      const Vec<T> value = load(x + v * kL);
      store(to + v * kL, mapped<kMap, kSwitch>(value, kGradient ? load(g + v * kL) : value,
                                               kGradient && kSwitch ? load(y + v * kL) : value, mean[v],
                                               scale[v], slope[v], shift[v]));
    }
    to += to_step;
    x += from_step;
    g += from_step;
    y += from_step;
  }
}

int64_t clamp(int64_t value, int64_t lo, int64_t hi) {
  return value < lo ? lo : (value > hi ? hi : value);
}
/// ceil(a / b), b > 0.
int64_t ceil_div(int64_t a, int64_t b) {
  return a >= 0 ? (a + b - 1) / b : -(-a / b);
}

template <class T>
void copy_whole_block(const ConvCopyJob<T>& job, T* to, int64_t at, int64_t count, int64_t from_step,
                      int64_t channel) {
  for_mapping(job.mapping, [&]<ConvMap kMap, bool kSwitch>() {
    copy_block<kMap, kSwitch>(job, to, at, count, from_step, channel);
  });
}

/// Pixels of any number of channels, each repeated; `at` is the offset of channel 0.
template <class T>
void copy_channels(const ConvCopyJob<T>& job, T* to, int64_t at, int64_t count, int64_t first,
                   int64_t channels) {
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t channel = (first + c) / job.repeat;
      to[c] = value_at(job, at + channel, channel);
    }
    to += job.s_pixel;
    at += job.stride_w * job.pixel_step;
  }
}

constexpr int64_t kNoRow = -1;

/// Columns i of a phase: column + phase + i stride_w of x, those of [lo, hi) exist.
struct Columns {
  int64_t first, lo, hi;
};
template <class T>
Columns columns_of(const ConvCopyJob<T>& job, int64_t phase) {
  const int64_t first = job.column + phase;
  const int64_t lo = clamp(ceil_div(-first, job.stride_w), 0, job.columns);
  return {first, lo, clamp(ceil_div(job.width - first, job.stride_w), lo, job.columns)};
}

/// A phase of the row at offset `row` (kNoRow: zeros) for one block.
template <class T>
void copy_phase(const ConvCopyJob<T>& job, T* to, int64_t row, const Columns& columns, int64_t block) {
  const int64_t channels = clamp(job.channels - block * kConvBlock, 0, kConvBlock);
  if (row == kNoRow) return zero_pixels(to, job.columns, job.s_pixel, channels);
  const auto [first, lo, hi] = columns;
  zero_pixels(to, lo, job.s_pixel, channels);
  if (hi > lo) {
    const int64_t at = row + (first + lo * job.stride_w) * job.pixel_step;
    if (job.repeat == 1 && channels == kConvBlock) {
      copy_whole_block(job, to + lo * job.s_pixel, at + block * kConvBlock, hi - lo,
                       job.stride_w * job.pixel_step, block * kConvBlock);
    } else {
      copy_channels(job, to + lo * job.s_pixel, at, hi - lo, block * kConvBlock, channels);
    }
  }
  zero_pixels(to + hi * job.s_pixel, job.columns - hi, job.s_pixel, channels);
}

/// A row as it stands in memory, padded.
template <class T>
void copy_row(const ConvCopyJob<T>& job, T* to, int64_t row) {
  const int64_t c = job.channels;
  const int64_t lo = row == kNoRow ? job.columns : clamp(-job.column, 0, job.columns);
  const int64_t hi = clamp(job.width - job.column, lo, job.columns);
  zero(to, lo * c);
  if (job.mapping.map != ConvMap::Identity) {
    for (int64_t i = lo; i < hi; ++i) {
      const int64_t at = row + (job.column + i) * job.pixel_step;
      for (int64_t n = 0; n < c; ++n) to[i * c + n] = value_at(job, at + n, n);
    }
  } else if (job.pixel_step == c && hi > lo) {  // no groups: pixels stand side by side in x as well
    copy_values(to + lo * c, job.x + row + (job.column + lo) * c, (hi - lo) * c);
  } else {
    for (int64_t i = lo; i < hi; ++i) {
      copy_values(to + i * c, job.x + row + (job.column + i) * job.pixel_step, c);
    }
  }
  zero(to + hi * c, (job.columns - hi) * c);
}

/// Calls fn(row of x or kNoRow, where it goes) for the rows of image n that some tap needs.
template <class T, class Fn>
void for_rows(const ConvCopyJob<T>& job, int64_t n, const Fn& fn) {
  T* to = job.scratch + n * job.s_image;
  int64_t phase = 0;  // r mod stride_h
  for (int64_t r = 0; r < job.rows; r += job.row_step, to += job.s_row) {
    const bool used = job.row_used[phase] != 0;
    phase = phase + job.row_step == job.stride_h ? 0 : phase + job.row_step;
    if (!used) continue;
    const int64_t u = job.row + r;
    fn(u < 0 || u >= job.height ? kNoRow : n * job.image_step + u * job.width * job.pixel_step, to);
  }
}

template <class T>
void copy(const ConvCopyJob<T>& job) {
  if (job.contiguous) {
    for (int64_t n = 0; n < job.images; ++n)
      for_rows(job, n, [&](int64_t row, T* to) { copy_row(job, to, row); });
    return;
  }
  for (int64_t p = 0; p < job.phase_count; ++p) {
    const Columns columns = columns_of(job, job.phases[p]);
    for (int64_t n = 0; n < job.images; ++n) {
      for_rows(job, n, [&](int64_t row, T* to) {
        to += p * job.s_phase - job.block_first * job.s_block;
        for (int64_t b = job.block_lo; b < job.block_hi; ++b)
          copy_phase(job, to + b * job.s_block, row, columns, b);
      });
    }
  }
}

}  // namespace

void conv_copy_f32(const ConvCopyJob<float>& job) {
  copy(job);
}
void conv_copy_f64(const ConvCopyJob<double>& job) {
  copy(job);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
