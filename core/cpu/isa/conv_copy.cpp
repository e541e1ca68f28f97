// Filling the padded scratch of a convolution, see Note [Convolution tiling].

#include "core/cpu/conv_tile.h"
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

/// `count` pixels of `channels` <= 16 channels, steps in elements; a null source means zeros.
template <class T>
void copy_pixels(T* to, const T* from, int64_t count, int64_t to_step, int64_t from_step, int64_t channels) {
  constexpr int kVectors = kConvBlock / kLanes<T>;
  if (channels == kConvBlock) {
    for (int64_t i = 0; i < count; ++i) {
      for (int v = 0; v < kVectors; ++v) {
        store(to + v * kLanes<T>, from == nullptr ? Vec<T>{} : load(from + v * kLanes<T>));
      }
      to += to_step;
      if (from != nullptr) from += from_step;
    }
    return;
  }
  for (int64_t i = 0; i < count; ++i, to += to_step) {
    for (int64_t c = 0; c < channels; ++c) to[c] = from == nullptr ? T(0) : from[i * from_step + c];
  }
}

int64_t clamp(int64_t value, int64_t lo, int64_t hi) {
  return value < lo ? lo : (value > hi ? hi : value);
}
/// ceil(a / b), b > 0.
int64_t ceil_div(int64_t a, int64_t b) {
  return a >= 0 ? (a + b - 1) / b : -(-a / b);
}

/// The same where channel c of the scratch is channel c / repeat of x; `first` is the block's first channel.
template <class T>
void copy_repeated(const ConvCopyJob<T>& job, T* to, const T* from, int64_t count, int64_t first,
                   int64_t channels) {
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t c = 0; c < channels; ++c) to[c] = from[(first + c) / job.repeat];
    to += job.s_pixel;
    from += job.stride_w * job.pixel_step;
  }
}

/// Phase `phase` of a row for one block: columns column + phase + i stride_w.
template <class T>
void copy_phase(const ConvCopyJob<T>& job, T* to, const T* row, int64_t phase, int64_t block) {
  const int64_t channels = clamp(job.channels - block * kConvBlock, 0, kConvBlock);
  const int64_t first = job.column + phase;
  const int64_t lo = row == nullptr ? job.columns : clamp(ceil_div(-first, job.stride_w), 0, job.columns);
  const int64_t hi = clamp(ceil_div(job.width - first, job.stride_w), lo, job.columns);
  const T* none = nullptr;
  copy_pixels(to, none, lo, job.s_pixel, 0, channels);
  if (hi > lo) {
    const T* from = row + (first + lo * job.stride_w) * job.pixel_step;
    if (job.repeat == 1) {
      copy_pixels(to + lo * job.s_pixel, from + block * kConvBlock, hi - lo, job.s_pixel,
                  job.stride_w * job.pixel_step, channels);
    } else {
      copy_repeated(job, to + lo * job.s_pixel, from, hi - lo, block * kConvBlock, channels);
    }
  }
  copy_pixels(to + hi * job.s_pixel, none, job.columns - hi, job.s_pixel, 0, channels);
}

/// A row as it stands in memory, padded.
template <class T>
void copy_row(const ConvCopyJob<T>& job, T* to, const T* row) {
  const int64_t c = job.channels;
  const int64_t lo = row == nullptr ? job.columns : clamp(-job.column, 0, job.columns);
  const int64_t hi = clamp(job.width - job.column, lo, job.columns);
  zero(to, lo * c);
  if (job.pixel_step == c && hi > lo) {  // no groups: pixels stand side by side in x as well
    copy_values(to + lo * c, row + (job.column + lo) * c, (hi - lo) * c);
  } else {
    for (int64_t i = lo; i < hi; ++i) copy_values(to + i * c, row + (job.column + i) * job.pixel_step, c);
  }
  zero(to + hi * c, (job.columns - hi) * c);
}

template <class T>
void copy(const ConvCopyJob<T>& job) {
  for (int64_t n = 0; n < job.images; ++n) {
    for (int64_t r = 0; r < job.rows; ++r) {
      if (job.row_used[r % job.stride_h] == 0) continue;
      const int64_t u = job.row + r;
      const T* row =
          u < 0 || u >= job.height ? nullptr : job.x + n * job.image_step + u * job.width * job.pixel_step;
      T* to = job.scratch + n * job.s_image + r * job.s_row;
      if (job.contiguous) {
        copy_row(job, to, row);
        continue;
      }
      for (int64_t b = job.block_lo; b < job.block_hi; ++b) {
        for (int64_t p = 0; p < job.phase_count; ++p) {
          copy_phase(job, to + b * job.s_block + p * job.s_phase, row, job.phases[p], b);
        }
      }
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
