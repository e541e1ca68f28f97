// Forward and backward-data, see Note [Convolution tiling].

#include "core/cpu/conv_drive.h"

#include <algorithm>
#include <array>

#include "core/cpu/by_type.h"
#include "core/cpu/conv_scratch.h"
#include "core/cpu/norm_parts.h"

namespace lathe::cpu {
namespace {

template <class T>
void run_window(const ConvPlan& plan, int64_t index, int64_t next, T* y, const ConvOperand<T>& x,
                const T* packed, const T* bias) {
  thread_local ConvScratch memory;
  T* scratch = memory.take<T>(plan.scratch);
  const ConvWindow box = plan.window(index);
  std::array<ConvAhead, 3> ahead = {conv_ahead(plan, next, conv_source(x))};
  if (x.map == ConvOperand<T>::Map::Gradient) {
    ahead[1] = conv_ahead(plan, next, x.gradient.dy);
    ahead[2] = conv_ahead(plan, next, x.gradient.y);
  }
  const int64_t groups = plan.block_groups();
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t block = g * plan.group_blocks;
    const T* input =
        conv_input(plan, box, scratch, x, block, std::min(block + plan.group_blocks, plan.blocks), block);
    for (const ConvPhase& phase : plan.phases) {
      ConvTileJob<T> job;
      job.x = input;
      job.y = y + plan.first_output(phase, box);
      job.w = packed + phase.packed_first * conv_padded<T>(plan.out_c);
      job.bias = bias;
      job.reduction = plan.reduction_of(phase);
      job.lines = plan.lines_of(phase, box);
      job.run_lo = phase.group_runs[static_cast<size_t>(g)];
      job.run_hi = phase.group_runs[static_cast<size_t>(g) + 1];
      if (g + 1 == groups) {
        std::copy(ahead.begin(), ahead.end(), job.ahead);
        ahead = {};
      }
      conv_tile(job);
    }
  }
}

}  // namespace

template <class T>
const T* conv_pack_weights(const ConvPlan& plan, const T* w) {
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

// Weights of group g begin at g times those of a group, channels at g * plan.in_c and out_c.
template <class T>
void conv_drive(const ConvPlan& plan, int64_t groups, T* y, const ConvOperand<T>& x, const T* w,
                const T* bias, ConvWindowEnd end) {
  const int64_t windows = plan.windows(), grain = plan.grain();
  if (windows == 0) return;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t k_of_group = plan.c_step == 1 ? plan.out_c : plan.in_c;
    const T* packed = conv_pack_weights(plan, w + g * k_of_group * std::max(plan.k_step, plan.c_step));
    T* y_group = y + g * plan.out_c;
    const ConvOperand<T> x_group = conv_group(x, g * plan.in_c);
    const T* bias_group = bias == nullptr ? nullptr : bias + g * plan.out_c;
    parallel_for(windows, grain, [&](int64_t lo, int64_t hi) {
      for (int64_t n = lo; n < hi; ++n) {
        run_window(plan, n, conv_next_window(n, hi, grain), y_group, x_group, packed, bias_group);
        end(lo / grain, plan.window(n));
      }
    });
  }
}

template <class T>
ConvMoments<T>::ConvMoments(int64_t tasks, int64_t c)
    : c_(c), parts_(Tensor::zeros({tasks, 2 * c}, DType::F64)), rows_(static_cast<size_t>(tasks), 0) {}

template <class T>
void ConvMoments<T>::add(const ConvPlan& plan, int64_t task, const ConvWindow& window, const T* y) {
  plan.for_output_runs(window, [&](int64_t first, int64_t count) { add(task, y, first, count); });
}

template <class T>
void ConvMoments<T>::add(int64_t task, const T* y, int64_t first, int64_t count) {
  double* part = parts_.mut<double>() + task * 2 * c_;
  int64_t& rows = rows_[static_cast<size_t>(task)];
  const auto moments = by_type<T>(moment_rows_f32, moment_rows_f64);
  if (rows == 0) {
    moments(part, y + first * c_, {count, c_});
  } else {
    thread_local ConvScratch memory;
    double* other = memory.take<double>(2 * c_);
    moments(other, y + first * c_, {count, c_});
    combine_moments(part, rows, other, count, c_);
  }
  rows += count;
}

template <class T>
std::vector<double> ConvMoments<T>::total() const {
  const double* part = parts_.ptr<double>();
  std::vector<double> result(part, part + 2 * c_);
  int64_t rows = rows_[0];
  for (size_t task = 1; task < rows_.size(); ++task) {
    if (rows_[task] == 0) continue;
    combine_moments(result.data(), rows, part + static_cast<int64_t>(task) * 2 * c_, rows_[task], c_);
    rows += rows_[task];
  }
  return result;
}

template <class T>
ConvGradientEnd<T>::ConvGradientEnd(const ConvInputGradient<T>& gradient, int64_t tasks, int64_t c)
    : gradient_(gradient), c_(c) {
  if (wanted()) parts_ = Tensor::zeros({tasks, 2 * c}, DType::F64);
}

template <class T>
void ConvGradientEnd<T>::add(int64_t task, int64_t first, int64_t count) {
  const auto from = [at = first * c_](const T* p) { return p == nullptr ? nullptr : p + at; };
  InputGradientRows<T> rows;
  rows.v = gradient_.dx + first * c_;
  rows.residual_dy = from(gradient_.residual_dy);
  rows.residual_y = from(gradient_.residual_y);
  rows.mask = gradient_.mask;
  rows.mask.x = from(gradient_.mask.x);
  by_type<T>(input_gradient_rows_f32, input_gradient_rows_f64)(parts_.mut<double>() + task * 2 * c_, rows,
                                                               {count, c_});
}

template <class T>
void ConvGradientEnd<T>::add(const ConvPlan& plan, int64_t task, const ConvWindow& window) {
  plan.for_output_runs(window, [&](int64_t first, int64_t count) { add(task, first, count); });
}

template <class T>
std::vector<double> ConvGradientEnd<T>::total() const {
  if (gradient_.mask.x == nullptr) return {};
  return ChannelParts::total_of(parts_.ptr<double>(), parts_.dim(0), 2 * c_);
}

template <class T>
void finish_input_gradient(ConvInputGradient<T>& gradient, int64_t pixels, int64_t c) {
  const ChannelParts parts({pixels, c}, 2);
  ConvGradientEnd<T> end(gradient, parts.chunks, c);
  if (end.wanted()) {
    parallel_for(pixels, parts.rows, [&](int64_t lo, int64_t hi) { end.add(lo / parts.rows, lo, hi - lo); });
  }
  gradient.sums = end.total();
}

#define LATHE_INSTANTIATE(T)                                                                        \
  template const T* conv_pack_weights(const ConvPlan&, const T*);                                   \
  template void conv_drive(const ConvPlan&, int64_t, T*, const ConvOperand<T>&, const T*, const T*, \
                           ConvWindowEnd);                                                          \
  template class ConvMoments<T>;                                                                    \
  template class ConvGradientEnd<T>;                                                                \
  template void finish_input_gradient(ConvInputGradient<T>&, int64_t, int64_t);
LATHE_INSTANTIATE(float)
LATHE_INSTANTIATE(double)
#undef LATHE_INSTANTIATE

}  // namespace lathe::cpu
