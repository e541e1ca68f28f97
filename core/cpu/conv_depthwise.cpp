#include "core/cpu/conv_depthwise.h"

#include "core/cpu/conv_drive.h"
#include "core/cpu/conv_scratch.h"

namespace lathe::cpu {
namespace {

constexpr int64_t kMostParts = 32;  // partial sums of the weight gradient

void run_kernel(const ConvDepthwiseJob<float>& job) {
  conv_depthwise_f32(job);
}
void run_kernel(const ConvDepthwiseJob<double>& job) {
  conv_depthwise_f64(job);
}
void run_weight_kernel(const ConvDepthwiseJob<float>& job) {
  conv_depthwise_weight_f32(job);
}
void run_weight_kernel(const ConvDepthwiseJob<double>& job) {
  conv_depthwise_weight_f64(job);
}

/// The shape with the multiplier taken out: k channels in, k out, one group as far as plans are concerned.
ConvShape widened(ConvShape shape) {
  shape.c = shape.k;
  shape.geometry.groups = 1;
  return shape;
}

int64_t multiplier(const ConvShape& shape) {
  return shape.k / shape.c;
}

/// Weights (k, taps) of a phase as [block][tap][16], zeros past the last channel.
template <class T>
const T* pack_taps(const ConvPlan& plan, const ConvPhase& phase, const T* w, int64_t taps, T* packed) {
  for (int64_t c = 0; c < plan.blocks * kConvBlock; ++c) {
    for (size_t t = 0; t < phase.taps.size(); ++t) {
      const size_t entry = static_cast<size_t>(c / kConvBlock) * phase.taps.size() + t;
      packed[static_cast<int64_t>(entry) * kConvBlock + c % kConvBlock] =
          c < plan.out_c ? w[c * taps + phase.taps[t].index] : T(0);
    }
  }
  return packed;
}

template <class T>
void run_plan(const ConvPlan& plan, int64_t taps, int64_t repeat, T* y, const ConvOperand<T>& x, const T* w,
              const T* bias, ConvWindowEnd end) {
  thread_local ConvScratch weights_memory;
  const auto phase_size = plan.blocks * kConvBlock * taps;
  T* packed = weights_memory.take<T>(phase_size * static_cast<int64_t>(plan.phases.size()));
  for (size_t p = 0; p < plan.phases.size(); ++p) {
    pack_taps(plan, plan.phases[p], w, taps, packed + static_cast<int64_t>(p) * phase_size);
  }
  parallel_for(plan.windows(), 1, [&](int64_t index, int64_t) {
    thread_local ConvScratch memory;
    T* scratch = memory.take<T>(plan.scratch);
    const ConvWindow box = plan.window(index);
    conv_copy_window(plan, box, scratch, x, 0, plan.blocks, repeat);
    for (size_t p = 0; p < plan.phases.size(); ++p) {
      const ConvPhase& phase = plan.phases[p];
      ConvDepthwiseJob<T> job;
      job.y = y + plan.first_output(phase, box);
      job.x = scratch;
      job.w = packed + static_cast<int64_t>(p) * phase_size;
      job.bias = bias;
      job.offsets = phase.offsets.data();
      job.taps = static_cast<int64_t>(phase.taps.size());
      job.channels = plan.out_c;
      job.lines = plan.lines_of(phase, box);
      run_kernel(job);
    }
    end(index, box);
  });
}

/// dw (k, taps) = the sum of `parts` gradients [block][tap][16], added in order.
template <class T>
void add_parts(T* dw, const T* parts, int64_t count, int64_t part_step, int64_t channels, int64_t taps) {
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t t = 0; t < taps; ++t) {
      const T* from = parts + (c / kConvBlock * taps + t) * kConvBlock + c % kConvBlock;
      T sum = from[0];
      for (int64_t p = 1; p < count; ++p) sum += from[p * part_step];
      dw[c * taps + t] = sum;
    }
  }
}

}  // namespace

bool is_depthwise(const ConvShape& shape) {
  return shape.group_c() == 1 && shape.geometry.groups > 1;
}

template <class T>
void depthwise_forward(const ConvShape& shape, T* y, const ConvOperand<T>& x, const T* w, const T* bias,
                       std::vector<double>* moments) {
  ConvPlan plan = plan_forward(widened(shape), sizeof(T), ConvUse::Depthwise);
  plan.in_pixel = shape.c;
  ConvMoments<T> sums(moments == nullptr ? 0 : std::max<int64_t>(plan.windows(), 1), shape.k);
  run_plan(plan, shape.taps(), multiplier(shape), y, x, w, bias, [&](int64_t task, const ConvWindow& window) {
    if (moments != nullptr) sums.add(plan, task, window, y);
  });
  if (moments != nullptr) *moments = sums.total();
}

template <class T>
void depthwise_backward_data(const ConvShape& shape, ConvInputGradient<T>& gradient, const ConvOperand<T>& dy,
                             const T* w) {
  const ConvPlan plan = plan_backward_data(widened(shape), sizeof(T), ConvUse::Depthwise);
  const int64_t m = multiplier(shape);
  const T* no_bias = nullptr;
  if (m == 1) {
    ConvGradientEnd<T> end(gradient, std::max<int64_t>(plan.windows(), 1), shape.c);
    run_plan(plan, shape.taps(), 1, gradient.dx, dy, w, no_bias, [&](int64_t task, const ConvWindow& window) {
      if (end.wanted()) end.add(plan, task, window);
    });
    gradient.sums = end.total();
    return;
  }
  // Gradients per output channel, then the sum over the m outputs of each input channel.
  Tensor wide = Tensor::empty(Shape{shape.n, shape.h, shape.w, shape.k}, dtype_of<T>());
  T* values = wide.mut<T>();
  run_plan(plan, shape.taps(), 1, values, dy, w, no_bias, [](int64_t, const ConvWindow&) {});
  parallel_for(shape.n * shape.h * shape.w * shape.c, int64_t{1} << 14, [&](int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; ++i) {
      T sum = values[i * m];
      for (int64_t j = 1; j < m; ++j) sum += values[i * m + j];
      gradient.dx[i] = sum;
    }
  });
  finish_input_gradient(gradient, shape.n * shape.h * shape.w, shape.c);
}

template <class T>
void depthwise_backward_weight(const ConvShape& shape, T* dw, const T* dy, const ConvOperand<T>& x) {
  ConvPlan plan = plan_forward(widened(shape), sizeof(T), ConvUse::Depthwise);
  plan.in_pixel = shape.c;
  const ConvPhase& phase = plan.phases[0];
  thread_local ConvScratch parts_memory;
  if (plan.windows() == 0) {
    std::fill(dw, dw + shape.k * shape.taps(), T(0));
    return;
  }
  const int64_t windows = plan.windows(), size = plan.blocks * kConvBlock * shape.taps();
  const int64_t per_part = chunk_count(windows, std::min(windows, kMostParts));
  T* parts = parts_memory.take<T>(size * chunk_count(windows, per_part));
  parallel_for(windows, per_part, [&](int64_t lo, int64_t hi) {
    thread_local ConvScratch memory;
    T* scratch = memory.take<T>(plan.scratch);
    ConvDepthwiseJob<T> job;
    job.y = parts + lo / per_part * size;
    job.x = scratch;
    job.offsets = phase.offsets.data();
    job.taps = shape.taps();
    job.channels = shape.k;
    for (int64_t n = lo; n < hi; ++n) {
      const ConvWindow box = plan.window(n);
      conv_copy_window(plan, box, scratch, x, 0, plan.blocks, multiplier(shape));
      job.lines = plan.lines_of(phase, box);
      job.w = dy + plan.first_output(phase, box);
      run_weight_kernel(job);
      job.accumulate = true;
    }
  });
  add_parts(dw, parts, chunk_count(windows, per_part), size, shape.k, shape.taps());
}

#define LATHE_INSTANTIATE(T)                                                                            \
  template void depthwise_forward(const ConvShape&, T*, const ConvOperand<T>&, const T*, const T*,      \
                                  std::vector<double>*);                                                \
  template void depthwise_backward_data(const ConvShape&, ConvInputGradient<T>&, const ConvOperand<T>&, \
                                        const T*);                                                      \
  template void depthwise_backward_weight(const ConvShape&, T*, const T*, const ConvOperand<T>&);
LATHE_INSTANTIATE(float)
LATHE_INSTANTIATE(double)
#undef LATHE_INSTANTIATE

}  // namespace lathe::cpu
