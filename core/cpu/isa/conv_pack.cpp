// Packing weights for the convolution micro-kernels, and unpacking their gradients.

#include "core/cpu/conv_tile.h"
#include "core/simd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

/// Where tile `tile` of a reduction's output channels begins, how wide it is packed, how many of it exist.
template <class T>
struct Lanes {
  int64_t first, width, count;

  Lanes(const ConvReduction& r, int64_t tile) : first(tile * 2 * kLanes<T>) {
    const int64_t left = r.k - first;
    width = left > kLanes<T> ? 2 * kLanes<T> : kLanes<T>;
    count = left < width ? left : width;
  }
};

/// to[i to_step + j] = from[j from_step + i] for i < kLanes, j < kLanes.
template <class T>
void transpose_square(T* to, int64_t to_step, const T* from, int64_t from_step) {
  constexpr int kL = kLanes<T>;
  Vec<T> rows[kL];
#pragma GCC unroll 16
  for (int j = 0; j < kL; ++j) rows[j] = load(from + j * from_step);
  transpose<T>(rows);
#pragma GCC unroll 16
  for (int i = 0; i < kL; ++i) store(to + i * to_step, rows[i]);
}

/// One entry: to[c width + l] = from[l k_step + c c_step] for l < lanes.count, the other lanes zero.
template <class T>
void pack_entry(T* to, const T* from, const ConvPackJob<T>& job, const Lanes<T>& lanes, int64_t channels) {
  constexpr int kL = kLanes<T>;
  if (lanes.count < lanes.width || (job.k_step != 1 && (job.c_step != 1 || channels % kL != 0))) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t l = 0; l < lanes.width; ++l) {
        to[c * lanes.width + l] = l < lanes.count ? from[l * job.k_step + c * job.c_step] : T(0);
      }
    }
    return;
  }
  for (int64_t v = 0; v < lanes.width; v += kL) {
    if (job.k_step == 1) {
      for (int64_t c = 0; c < channels; ++c) store(to + c * lanes.width + v, load(from + c * job.c_step + v));
      continue;
    }
    for (int64_t c = 0; c < channels; c += kL) {
      transpose_square(to + c * lanes.width + v, lanes.width, from + v * job.k_step + c, job.k_step);
    }
  }
}

/// Entries whose weights are fetched ahead: their lines, one of every output channel, lie too far apart for
/// the processor to guess.
constexpr int64_t kFetched = 6;

template <class T>
void pack(const ConvPackJob<T>& job) {
  const ConvReduction& r = job.reduction;
  const Lanes<T> lanes(r, job.tile);
  const int64_t last = r.run_count > 0 ? r.runs[r.run_count - 1].first + r.runs[r.run_count - 1].count : 0;
  for (int64_t n = 0; n < r.run_count; ++n) {
    for (int64_t e = r.runs[n].first; e < r.runs[n].first + r.runs[n].count; ++e) {
      for (int64_t l = 0; job.k_step != 1 && e + kFetched < last && l < lanes.count; ++l) {
        __builtin_prefetch(job.w + r.weights[e + kFetched] + (lanes.first + l) * job.k_step, 0, 2);
      }
      pack_entry(job.packed + lanes.first * r.length + r.starts[e] * lanes.width,
                 job.w + r.weights[e] + lanes.first * job.k_step, job, lanes, r.runs[n].channels);
    }
  }
}

/// sum[i] = from[i] + from[i + step] + ..., `parts` terms, n a multiple of the lanes.
template <class T>
void add_parts(T* sum, const T* from, int64_t n, int64_t parts, int64_t step) {
  for (int64_t i = 0; i < n; i += kLanes<T>) {
    Vec<T> s = load(from + i);
    for (int64_t p = 1; p < parts; ++p) s += load(from + p * step + i);
    store(sum + i, s);
  }
}

template <class T>
void unpack(const ConvUnpackJob<T>& job) {
  constexpr int kL = kLanes<T>;
  const ConvReduction& r = job.reduction;
  const Lanes<T> lanes(r, job.tile);
  const T* from = job.packed + lanes.first * r.length;
  T sum[2 * kL * kConvBlock];
  for (int64_t n = 0; n < r.run_count; ++n) {
    const ConvRun& run = r.runs[n];
    for (int64_t e = run.first; e < run.first + run.count; ++e) {
      T* to = job.dw + r.weights[e] + lanes.first * job.k_step;
      for (int64_t c0 = 0; c0 < run.channels; c0 += kConvBlock, to += kConvBlock) {
        const int64_t channels = run.channels - c0 < kConvBlock ? run.channels - c0 : kConvBlock;
        add_parts(sum, from, channels * lanes.width, job.parts, job.part_step);
        from += channels * lanes.width;
        if (channels == kConvBlock && lanes.count == lanes.width) {
          for (int64_t v = 0; v < lanes.width; v += kL) {
            for (int64_t c = 0; c < channels; c += kL) {
              transpose_square(to + v * job.k_step + c, job.k_step, sum + c * lanes.width + v, lanes.width);
            }
          }
          continue;
        }
        for (int64_t l = 0; l < lanes.count; ++l) {
          for (int64_t c = 0; c < channels; ++c) to[l * job.k_step + c] = sum[c * lanes.width + l];
        }
      }
    }
  }
}

}  // namespace

void conv_pack_f32(const ConvPackJob<float>& job) {
  pack(job);
}
void conv_pack_f64(const ConvPackJob<double>& job) {
  pack(job);
}
void conv_unpack_f32(const ConvUnpackJob<float>& job) {
  unpack(job);
}
void conv_unpack_f64(const ConvUnpackJob<double>& job) {
  unpack(job);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
