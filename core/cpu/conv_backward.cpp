// Backward-data and backward-weight together, see Note [Fused convolutions]: a window's dy is formed and
// copied once and serves both while it is in L2. Note [Convolution tiling] has the rest.

#include <algorithm>
#include <array>

#include "core/cpu/conv_drive.h"
#include "core/cpu/conv_scratch.h"

namespace lathe::cpu {
namespace {

constexpr int64_t kMostParts = 32;
constexpr int64_t kLeastParts = 16;
constexpr int64_t kPartBytes = int64_t{4} << 20;  // of all partial sums

/// The tensors of a backward pass and its plans.
template <class T>
class BackwardDriver {
 public:
  BackwardDriver(const ConvPlanPair& plans, const ConvInputGradient<T>& gradient, const ConvOperand<T>& dy,
                 const ConvOperand<T>& x)
      : plans_(plans), gradient_(gradient), dy_(dy), x_(x) {}

  /// Windows [lo, hi): dx and the sum of their weight gradients, packed.
  void run(T* dw, const T* w, int64_t lo, int64_t hi, int64_t part, ConvGradientEnd<T>& end) const {
    thread_local ConvScratch memory;
    const ConvPlan &data = plans_.data, &weight = plans_.weight;
    const int64_t data_size = chunk_count(data.scratch, kConvBlock) * kConvBlock;
    T* dy_scratch = memory.take<T>(data_size + weight.scratch);
    for (int64_t n = lo; n < hi; ++n) {
      const ConvWindow box = data.window(n);
      const int64_t next = conv_next_window(n, hi, hi - lo);
      conv_copy_window(data, box, dy_scratch, dy_, 0, data.blocks);
      run_data(box, next, dy_scratch, w);
      if (end.wanted()) end.add(data, part, box);
      run_weight(box, next, dw, dy_scratch, dy_scratch + data_size, n > lo);
    }
  }

 private:
  void run_data(const ConvWindow& box, int64_t next, const T* dy_scratch, const T* packed) const {
    const ConvPlan& plan = plans_.data;
    const bool mapped = dy_.map == ConvOperand<T>::Map::Gradient;
    std::array<ConvAhead, 3> ahead = {conv_ahead(plan, next, conv_source(dy_)),
                                      conv_ahead(plan, next, mapped ? dy_.gradient.dy : nullptr),
                                      conv_ahead(plan, next, mapped ? dy_.gradient.y : nullptr)};
    for (const ConvPhase& phase : plan.phases) {
      ConvTileJob<T> job;
      job.x = dy_scratch;
      job.y = gradient_.dx + plan.first_output(phase, box);
      job.w = packed + phase.packed_first * conv_padded<T>(plan.out_c);
      job.reduction = plan.reduction_of(phase);
      job.lines = plan.lines_of(phase, box);
      job.run_hi = static_cast<int64_t>(phase.runs.size());
      std::copy(ahead.begin(), ahead.end(), job.ahead);
      ahead = {};
      conv_tile(job);
    }
  }

  void run_weight(const ConvWindow& box, int64_t next, T* dw, const T* dy_scratch, T* x_scratch,
                  bool accumulate) const {
    const ConvPlan &data = plans_.data, &plan = plans_.weight;
    const ConvPhase& phase = plan.phases[0];
    ConvWeightJob<T> job;
    job.dw = dw;
    job.x = conv_input(plan, box, x_scratch, x_, 0, plan.blocks);
    job.dy = dy_scratch + plans_.dy_first;
    job.dy_block = data.s_block;
    job.reduction = plan.reduction_of(phase);
    job.lines = plan.lines_of(phase, box);
    if (plan.layout == ConvPlan::Layout::ImagesInnermost) {
      job.lines.y_outer = data.s_row;
      job.lines.y_inner = data.s_pixel;
    } else {
      job.lines.y_outer = data.s_image;
      job.lines.y_inner = data.s_row;
    }
    job.lines.y_pixel = kConvBlock;
    job.run_hi = static_cast<int64_t>(phase.runs.size());
    job.tile_hi = conv_tile_count<T>(plan.out_c);
    job.accumulate = accumulate;
    job.ahead[0] = conv_ahead(plan, next, conv_source(x_));
    job.ahead[1] = conv_output_ahead(data, next, gradient_.residual_dy);
    job.ahead[2] = conv_output_ahead(data, next, gradient_.residual_y);
    conv_weight(job);
  }

  const ConvPlanPair& plans_;
  const ConvInputGradient<T>& gradient_;
  const ConvOperand<T>&dy_, &x_;
};

}  // namespace

template <class T>
bool conv_drive_backward(const ConvShape& shape, T* dw, ConvInputGradient<T>& gradient,
                         const ConvOperand<T>& dy, const ConvOperand<T>& x, const T* w) {
  if (shape.geometry.groups != 1) return false;
  const std::optional<ConvPlanPair> plans = plan_backward(shape, sizeof(T), conv_reading(x));
  if (!plans) return false;
  const ConvPlan& weight = plans->weight;
  const int64_t windows = weight.windows();
  const int64_t size = weight.phases[0].reduction * conv_padded<T>(weight.out_c);
  const int64_t most = std::min(kMostParts, kPartBytes / (size * static_cast<int64_t>(sizeof(T))));
  if (windows == 0 || most < kLeastParts) return false;
  const int64_t per_part = chunk_count(windows, most), parts = chunk_count(windows, per_part);
  thread_local ConvScratch memory;
  T* packed = memory.take<T>(size * parts);
  const T* packed_w = conv_pack_weights(plans->data, w);
  ConvGradientEnd<T> end(gradient, parts, shape.c);
  const BackwardDriver<T> driver(*plans, gradient, dy, x);
  parallel_for(windows, per_part, [&](int64_t lo, int64_t hi) {
    const int64_t part = lo / per_part;
    driver.run(packed + part * size, packed_w, lo, hi, part, end);
  });
  gradient.sums = end.total();
  conv_add_parts(weight, dw, packed, parts);
  return true;
}

#define LATHE_INSTANTIATE(T)                                                                            \
  template bool conv_drive_backward(const ConvShape&, T*, ConvInputGradient<T>&, const ConvOperand<T>&, \
                                    const ConvOperand<T>&, const T*);
LATHE_INSTANTIATE(float)
LATHE_INSTANTIATE(double)
#undef LATHE_INSTANTIATE

}  // namespace lathe::cpu
