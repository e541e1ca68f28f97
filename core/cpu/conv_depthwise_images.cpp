// Depthwise convolutions of narrow maps, whole images at a time: see Note [Depthwise rows].

#include <algorithm>

#include "core/cpu/conv_depthwise_parts.h"
#include "core/cpu/conv_run.h"

namespace lathe::cpu {
namespace {

constexpr int64_t kPartSizes = 16;  // of a weight gradient, read for a partial sum of it
constexpr int64_t kBandBytes =
    32 * 1024;  // of the images of a call: of 96 KiB, 1024 channels are 20 % slower

template <class T>
void run_images(const DepthwiseImages<T>& job) {
  by_type<T>(depthwise_images_f32, depthwise_images_f64)(job);
}
template <class T>
void run_weight(const DepthwiseImages<T>& job) {
  by_type<T>(depthwise_weight_images_f32, depthwise_weight_images_f64)(job);
}

int64_t image_size(const ConvShape& s) {
  return s.h * s.w * s.c;
}
/// Images of a call.
template <class T>
int64_t band_images(const ConvShape& s) {
  return std::max<int64_t>(kBandBytes / (2 * image_size(s) * static_cast<int64_t>(sizeof(T))), 1);
}
int64_t chunk_images(const ConvShape& s) {
  return chunk_count(s.n, std::min(s.n, kDepthwiseChunks));
}
/// Images of a partial sum of the weight gradient: their products cost more than adding it.
int64_t part_images(const ConvShape& s) {
  return std::max(chunk_images(s), chunk_count(kPartSizes * s.taps(), 2 * s.h * s.w));
}

/// Images of an input: in place, or made.
template <class T>
class Images {
 public:
  Images(const DepthwiseInput<T>& input, const ConvShape& shape, ConvScratch& memory)
      : input_(input), shape_(shape) {
    if (input.fill != nullptr) made_ = memory.take<T>(band_images<T>(shape) * image_size(shape));
  }

  const T* images(int64_t first, int64_t count) {
    if (made_ == nullptr) return input_.x + first * image_size(shape_);
    const int64_t rows = shape_.h, size = image_size(shape_) / rows;
    for (int64_t r = 0; r < count * rows; ++r) (*input_.fill)(made_ + r * size, first * rows + r);
    return made_;
  }
  /// Of `count` images that will be made or read; null: there are not as many.
  const T* ahead(int64_t first, int64_t count) const { return of(input_.x, first, count); }
  const T* ahead_beside(int64_t first, int64_t count) const { return of(input_.beside, first, count); }

 private:
  const T* of(const T* tensor, int64_t first, int64_t count) const {
    return tensor == nullptr || first + count > shape_.n ? nullptr : tensor + first * image_size(shape_);
  }

  const DepthwiseInput<T>& input_;
  const ConvShape& shape_;
  T* made_ = nullptr;
};

template <class T>
DepthwiseImages<T> job_of(const ConvShape& s, const DepthwisePacked<T>& packed) {
  DepthwiseImages<T> job;
  job.size = s.h;
  job.channels = s.c;
  job.slots = depthwise_slots<T>(s);
  job.w = packed.w;
  job.bias = packed.bias;
  return job;
}

/// Calls fn(first, count, next) for the images [lo, hi) of a chunk of `grain`, a band at a time; `next` comes
/// after it on this thread.
template <class T, class Fn>
void each_band(const ConvShape& s, int64_t lo, int64_t hi, int64_t grain, const Fn& fn) {
  const int64_t most = band_images<T>(s);
  for (int64_t first = lo; first < hi; first += most) {
    const int64_t count = std::min(most, hi - first);
    fn(first, count, conv_next_window(first + count - 1, hi, grain));
  }
}

/// The forward, or an input gradient with x = dy and packed weights turned.
template <class T>
void run_forward(const ConvShape& s, T* y, const DepthwiseInput<T>& x, const DepthwisePacked<T>& packed,
                 const DepthwiseDone* done) {
  const int64_t grain = chunk_images(s), size = image_size(s);
  parallel_for(s.n, grain, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch memory;
    Images<T> in(x, s, memory);
    DepthwiseImages<T> job = job_of(s, packed);
    DepthwiseDoneRows finished(done, lo / grain, lo * s.h, s.w * s.c * static_cast<int64_t>(sizeof(T)));
    each_band<T>(s, lo, hi, grain, [&](int64_t first, int64_t count, int64_t next) {
      job.count = count;
      job.in = in.images(first, count);
      job.out = y + first * size;
      job.ahead[0] = in.ahead(next, count);
      job.ahead[1] = in.ahead_beside(next, count);
      run_images(job);
      finished.reach((first + count) * s.h, first + count == hi);
    });
  });
}

}  // namespace

bool has_depthwise_images(const ConvShape& s) {
  return s.kh == 3 && s.geometry.stride_h == 1 && s.h == s.w && (s.h == 2 || s.h == 4);
}

template <class T>
void depthwise_images_forward(const ConvShape& s, T* y, const DepthwiseInput<T>& x, const T* w, const T* bias,
                              const DepthwiseDone* done) {
  run_forward(s, y, x, pack_depthwise(s, w, bias, false), done);
}

template <class T>
void depthwise_images_backward_data(const ConvShape& s, T* dx, const DepthwiseInput<T>& dy, const T* w,
                                    const DepthwiseDone* done) {
  const T* no_bias = nullptr;
  run_forward(s, dx, dy, pack_depthwise(s, w, no_bias, true), done);
}

template <class T>
void depthwise_images_backward(const ConvShape& s, T* dw, T* dx, const DepthwiseInput<T>& dy,
                               const DepthwiseInput<T>& x, const T* w, const DepthwiseDone* done) {
  const int64_t grain = part_images(s), chunks = chunk_count(s.n, grain), image = image_size(s);
  const int64_t size = s.taps() * depthwise_slots<T>(s);
  thread_local ConvScratch parts_memory;
  T* parts = parts_memory.take<T>(chunks * size);
  const T* no_bias = nullptr;
  const DepthwisePacked<T> packed =
      dx == nullptr ? DepthwisePacked<T>{} : pack_depthwise(s, w, no_bias, true);
  parallel_for(s.n, grain, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch x_memory, dy_memory;
    Images<T> x_in(x, s, x_memory), dy_in(dy, s, dy_memory);
    DepthwiseImages<T> data = job_of(s, packed), weight = data;
    weight.dw = parts + lo / grain * size;
    DepthwiseDoneRows finished(done, lo / grain, lo * s.h, s.w * s.c * static_cast<int64_t>(sizeof(T)));
    each_band<T>(s, lo, hi, grain, [&](int64_t first, int64_t count, int64_t next) {
      weight.count = data.count = count;
      weight.dy = data.in = dy_in.images(first, count);
      if (dx != nullptr) {
        data.out = dx + first * image;
        data.ahead[0] = dy_in.ahead(next, count);
        data.ahead[1] = dy_in.ahead_beside(next, count);
        run_images(data);
      }
      weight.in = x_in.images(first, count);
      weight.ahead[0] = x_in.ahead(next, count);
      weight.ahead[1] = dx == nullptr ? dy_in.ahead(next, count) : nullptr;
      run_weight(weight);
      weight.accumulate = true;
      finished.reach((first + count) * s.h, first + count == hi);
    });
  });
  add_depthwise_parts(s, dw, parts, chunks);
}

#define LATHE_INSTANTIATE(T)                                                                                 \
  template void depthwise_images_forward(const ConvShape&, T*, const DepthwiseInput<T>&, const T*, const T*, \
                                         const DepthwiseDone*);                                              \
  template void depthwise_images_backward_data(const ConvShape&, T*, const DepthwiseInput<T>&, const T*,     \
                                               const DepthwiseDone*);                                        \
  template void depthwise_images_backward(const ConvShape&, T*, T*, const DepthwiseInput<T>&,                \
                                          const DepthwiseInput<T>&, const T*, const DepthwiseDone*);
LATHE_INSTANTIATE(float)
LATHE_INSTANTIATE(double)
#undef LATHE_INSTANTIATE

}  // namespace lathe::cpu
