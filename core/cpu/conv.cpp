// Forward and backward-data, see Note [Convolution tiling].

#include "core/kernels/conv.h"

#include <utility>

#include "core/cpu/conv_depthwise.h"
#include "core/cpu/conv_run.h"
#include "core/cpu/conv_scratch.h"
#include "core/cpu/winograd.h"

namespace lathe::cpu {
namespace {

/// Every phase's weights, one after another.
template <class T>
const T* pack_weights(const ConvPlan& plan, const T* w) {
  thread_local ConvScratch memory;
  const int64_t padded = conv_padded<T>(plan.out_c);
  T* packed = memory.take<T>(plan.reduction * padded);
  const int64_t tiles = conv_tile_count<T>(plan.out_c);
  const auto phases = static_cast<int64_t>(plan.phases.size());
  parallel_for(tiles * phases, 1, [&](int64_t n, int64_t) {
    const ConvPhase& phase = plan.phases[static_cast<size_t>(n / tiles)];
    ConvPackJob<T> job;
    job.packed = packed + phase.packed_first * padded;
    job.w = w;
    job.reduction = plan.reduction_of(phase);
    job.k_step = plan.k_step;
    job.c_step = plan.c_step;
    job.tile = n % tiles;
    conv_pack(job);
  });
  return packed;
}

template <class T>
void run_window(const ConvPlan& plan, int64_t index, int64_t next, T* y, const T* x, const T* packed,
                const T* bias) {
  thread_local ConvScratch memory;
  T* scratch = memory.take<T>(plan.scratch);
  const ConvWindow box = plan.window(index);
  const T* input = conv_input(plan, box, scratch, x, 0, plan.blocks);
  ConvAhead ahead = conv_ahead(plan, next, x);
  for (const ConvPhase& phase : plan.phases) {
    ConvTileJob<T> job;
    job.x = input;
    job.y = y + plan.first_output(phase, box);
    job.w = packed + phase.packed_first * conv_padded<T>(plan.out_c);
    job.bias = bias;
    job.reduction = plan.reduction_of(phase);
    job.lines = plan.lines_of(phase, box);
    job.ahead = std::exchange(ahead, {});
    conv_tile(job);
  }
}

/// One convolution per group; weights of group g begin at g * w_group, channels at g * plan.in_c and out_c.
template <class T>
void run_groups(const ConvPlan& plan, int64_t groups, T* y, const T* x, const T* w, const T* bias) {
  const int64_t windows = plan.windows(), grain = plan.grain();
  if (windows == 0) return;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t k_of_group = plan.c_step == 1 ? plan.out_c : plan.in_c;
    const T* packed = pack_weights(plan, w + g * k_of_group * std::max(plan.k_step, plan.c_step));
    T* y_group = y + g * plan.out_c;
    const T* x_group = x + g * plan.in_c;
    const T* bias_group = bias == nullptr ? nullptr : bias + g * plan.out_c;
    parallel_for(windows, grain, [&](int64_t lo, int64_t hi) {
      for (int64_t n = lo; n < hi; ++n) {
        run_window(plan, n, conv_next_window(n, hi, grain), y_group, x_group, packed, bias_group);
      }
    });
  }
}

}  // namespace
}  // namespace lathe::cpu

namespace lathe::kernels::cpu {

void conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Conv2dGeometry& geometry) {
  const lathe::cpu::ConvShape shape(x, w, y, geometry);
  dispatch_floating(y.dtype(), "conv2d_forward", [&]<class T>() {
    const T* bias_values = bias.defined() ? bias.ptr<T>() : nullptr;
    if (lathe::cpu::is_depthwise(shape)) {
      lathe::cpu::depthwise_forward(shape, y.mut<T>(), x.ptr<T>(), w.ptr<T>(), bias_values);
      return;
    }
    if (lathe::cpu::winograd_chosen(shape)) {
      lathe::cpu::winograd_forward(shape, y.mut<T>(), lathe::cpu::as_is(x.ptr<T>()), w.ptr<T>(), bias_values,
                                   nullptr);
      return;
    }
    const auto plan = lathe::cpu::plan_forward(shape, sizeof(T), lathe::cpu::ConvUse::Tiles);
    lathe::cpu::run_groups(plan, geometry.groups, y.mut<T>(), x.ptr<T>(), w.ptr<T>(), bias_values);
  });
}

void conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w, const Conv2dGeometry& geometry) {
  const lathe::cpu::ConvShape shape(dx, w, dy, geometry);
  dispatch_floating(dx.dtype(), "conv2d_backward_data", [&]<class T>() {
    if (lathe::cpu::is_depthwise(shape)) {
      lathe::cpu::depthwise_backward_data(shape, dx.mut<T>(), dy.ptr<T>(), w.ptr<T>());
      return;
    }
    if (lathe::cpu::winograd_chosen(shape)) {
      lathe::cpu::ConvInputGradient<T> gradient;
      gradient.dx = dx.mut<T>();
      lathe::cpu::winograd_backward<T>(shape, nullptr, gradient, lathe::cpu::as_is(dy.ptr<T>()), {},
                                       w.ptr<T>());
      return;
    }
    const auto plan = lathe::cpu::plan_backward_data(shape, sizeof(T), lathe::cpu::ConvUse::Tiles);
    const T* no_bias = nullptr;
    lathe::cpu::run_groups(plan, geometry.groups, dx.mut<T>(), dy.ptr<T>(), w.ptr<T>(), no_bias);
  });
}

}  // namespace lathe::kernels::cpu
