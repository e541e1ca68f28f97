// Losses. A row of classes belongs to a few lanes of a warp, or to a block where rows are long; blocks own
// fixed chunks of rows, whose sums are added in order by a second launch where there is more than one.

#include "core/kernels/loss.h"
#include "core/kernels/loss_math.h"
#include "core/parallel.h"
#include "cuda/device.cuh"
#include "cuda/dispatch.h"
#include "cuda/map.cuh"
#include "cuda/rows.cuh"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

constexpr int64_t kMostChunks = 1024;

double* doubles(Tensor& tensor, int64_t n) {
  tensor = Tensor::empty({n}, DType::F64, current_device());
  return tensor.mut<double>();
}

/// The problem as both passes of cross entropy see it.
template <class T>
struct CrossEntropy {
  const T* logits;
  const int64_t* targets;
  const T* weights;  // null: all 1
  int64_t rows, classes, ignored;
  double smoothing;

  CrossEntropy(const Tensor& x, const Tensor& t, const Tensor& w, const CrossEntropyFlags& flags)
      : logits(x.ptr<T>()),
        targets(t.ptr<int64_t>()),
        weights(optional_ptr<T>(w)),
        rows(t.numel()),
        classes(x.dim(-1)),
        ignored(flags.ignore_index),
        smoothing(flags.label_smoothing) {}

  __device__ double weight(int64_t c) const {
    return weights != nullptr ? static_cast<double>(weights[c]) : 1;
  }
  /// NaN for a target out of range, so that nothing is read there and the loss shows it.
  __device__ double target_weight(int64_t t) const {
    return t >= 0 && t < classes ? weight(t) : static_cast<double>(NAN);
  }
  /// Over the classes; all threads of the block take part.
  __device__ double weight_sum() const {
    if (weights == nullptr || smoothing == 0) return static_cast<double>(classes);
    double sum = 0;
    for (int64_t c = threadIdx.x; c < classes; c += blockDim.x) sum += weight(c);
    return block_reduce<Sum>(sum);
  }
};

/// Loss (times `scale`) and factor from the sums over all rows.
template <class T>
struct Finish {
  T *y, *factor;  // factor may be null
  bool mean;

  __device__ void operator()(double loss, double weight) const {
    const double scale = !mean ? 1 : weight > 0 ? 1 / weight : 0;
    if (factor != nullptr) *factor = static_cast<T>(scale);
    if (y != nullptr) *y = static_cast<T>(loss * scale);
  }
};

/// One block adds up parts[2 i] and parts[2 i + 1].
template <class T>
__global__ void finish(Finish<T> to, const double* parts, int64_t chunks) {
  double loss = 0, weight = 0;
  for (int64_t i = threadIdx.x; i < chunks; i += blockDim.x) {
    loss += parts[2 * i];
    weight += parts[2 * i + 1];
  }
  loss = block_reduce<Sum>(loss);
  weight = block_reduce<Sum>(weight);
  if (threadIdx.x == 0) to(loss, weight);
}

/// A block's sums: to `parts`, or where the block is the only one, to their end.
template <class T>
__device__ void deliver(const Finish<T>& to, double* parts, double loss, double weight) {
  loss = block_reduce<Sum>(loss);
  weight = block_reduce<Sum>(weight);
  if (threadIdx.x != 0) return;
  if (gridDim.x == 1) return to(loss, weight);
  parts[2 * blockIdx.x] = loss;
  parts[2 * blockIdx.x + 1] = weight;
}

template <class T, bool kWhole>
__global__ void cross_entropy_rows(CrossEntropy<T> problem, RowChunks<kWhole> chunks, T* lses, T* losses,
                                   Finish<T> to, double* parts) {
  const double weight_sum = problem.weight_sum();
  double loss = 0, total = 0;  // of the first thread of each row
  chunks.for_each_row([&](int64_t row, const RowLanes<kWhole>& lanes) {
    const T* x = problem.logits + row * problem.classes;
    const T lse = row_log_sum_exp(x, problem.classes, lanes);
    const int64_t t = problem.targets[row];
    double soft = 0;
    if (problem.smoothing != 0) {
      for (int64_t c = lanes.lane; c < problem.classes; c += lanes.count) {
        soft += problem.weight(c) * static_cast<double>(x[c]);
      }
      soft = weight_sum * static_cast<double>(lse) - lanes.template reduce<Sum>(soft);
    }
    if (lanes.lane != 0 || !lanes.active) return;
    double cost = 0;
    if (t != problem.ignored) {
      const double w = problem.target_weight(t);
      total += w;
      cost =
          w != w ? w : (1 - problem.smoothing) * w * (static_cast<double>(lse) - static_cast<double>(x[t]));
      if (problem.smoothing != 0) cost += problem.smoothing / static_cast<double>(problem.classes) * soft;
    }
    lses[row] = lse;
    if (losses != nullptr) losses[row] = static_cast<T>(cost);
    loss += cost;
  });
  deliver(to, parts, loss, total);
}

template <class T, bool kWhole>
__global__ void cross_entropy_gradient(CrossEntropy<T> problem, RowChunks<kWhole> chunks, T* dlogits,
                                       const T* dy, bool each, const T* lses, const T* factor) {
  const double weight_sum = problem.weight_sum();
  chunks.for_each_row([&](int64_t row, const RowLanes<kWhole>& lanes) {
    if (!lanes.active) return;
    const int64_t t = problem.targets[row], at = row * problem.classes;
    const bool ignored = t == problem.ignored;
    const double g = static_cast<double>(*factor) * static_cast<double>(dy[each ? row : 0]);
    const double hard = g * (1 - problem.smoothing) * (ignored ? 0 : problem.target_weight(t));
    const double soft = g * problem.smoothing / static_cast<double>(problem.classes);
    const T scale = static_cast<T>(hard + soft * weight_sum), lse = lses[row];
    for (int64_t c = lanes.lane; c < problem.classes; c += lanes.count) {
      T value = exp(problem.logits[at + c] - lse) * scale;
      if (problem.smoothing != 0) value -= static_cast<T>(soft * problem.weight(c));
      if (c == t) value -= static_cast<T>(hard);
      dlogits[at + c] = ignored ? T{0} : value;
    }
  });
}

template <class T, bool kWhole>
__global__ void soft_rows(const T* logits, const T* targets, int64_t classes, RowChunks<kWhole> chunks,
                          T* lses, Finish<T> to, double* parts) {
  double loss = 0;
  chunks.for_each_row([&](int64_t row, const RowLanes<kWhole>& lanes) {
    const T *x = logits + row * classes, *p = targets + row * classes;
    const T lse = row_log_sum_exp(x, classes, lanes);
    double cost = 0;
    for (int64_t c = lanes.lane; c < classes; c += lanes.count) {
      cost += static_cast<double>(p[c]) * (static_cast<double>(lse) - static_cast<double>(x[c]));
    }
    if (!lanes.active) return;
    loss += cost;
    if (lanes.lane == 0) lses[row] = lse;
  });
  // The mean's divisor comes as the weight of the first block.
  deliver(to, parts, loss, blockIdx.x == 0 ? static_cast<double>(chunks.rows) * (threadIdx.x == 0) : 0);
}

template <class T, bool kWhole>
__global__ void soft_gradient(T* dlogits, const T* dy, const T* logits, const T* lses, const T* targets,
                              int64_t classes, RowChunks<kWhole> chunks) {
  const double g = static_cast<double>(*dy) / static_cast<double>(chunks.rows);
  chunks.for_each_row([&](int64_t row, const RowLanes<kWhole>& lanes) {
    const int64_t at = row * classes;
    double mass = 0;
    for (int64_t c = lanes.lane; c < classes; c += lanes.count) mass += static_cast<double>(targets[at + c]);
    const T scale = static_cast<T>(g * lanes.template reduce<Sum>(mass)), lse = lses[row];
    if (!lanes.active) return;
    for (int64_t c = lanes.lane; c < classes; c += lanes.count) {
      dlogits[at + c] = exp(logits[at + c] - lse) * scale - static_cast<T>(g) * targets[at + c];
    }
  });
}

template <PairLoss kLoss>
struct PairValue {
  template <class V>
  __device__ double operator()(int64_t, V x, V t) const {
    return PairFormula<kLoss>::value(static_cast<double>(x), static_cast<double>(t));
  }
};

template <PairLoss kLoss, class T, int kSide>
struct PairGradient {
  const T* dy;
  bool each;
  double scale;

  __device__ double operator()(int64_t i, T x, T t) const {
    const double v = static_cast<double>(x), w = static_cast<double>(t);
    const double outer = scale * static_cast<double>(dy[each ? i : 0]);
    return outer * (kSide == 0 ? PairFormula<kLoss>::dx(v, w) : PairFormula<kLoss>::dt(v, w));
  }
};

template <PairLoss kLoss, class T>
__global__ void pair_chunks(const T* x, const T* t, int64_t n, int64_t chunk, Finish<T> to, double* parts) {
  const int64_t lo = blockIdx.x * chunk, hi = lo + chunk < n ? lo + chunk : n;
  double sum = 0;
  for (int64_t i = lo + threadIdx.x; i < hi; i += blockDim.x) {
    sum += PairFormula<kLoss>::value(static_cast<double>(x[i]), static_cast<double>(t[i]));
  }
  deliver(to, parts, sum, blockIdx.x == 0 && threadIdx.x == 0 ? static_cast<double>(n) : 0);
}

}  // namespace

void cross_entropy_forward(Tensor& y, Tensor& lse, Tensor& factor, const Tensor& logits,
                           const Tensor& targets, const Tensor& class_weights,
                           const CrossEntropyFlags& flags) {
  dispatch_floating(logits.dtype(), "cross_entropy", [&]<class T>() {
    const CrossEntropy<T> problem(logits, targets, class_weights, flags);
    const bool each = flags.reduction == Reduction::None;
    const Finish<T> to{each ? nullptr : y.mut<T>(), factor.mut<T>(), flags.reduction == Reduction::Mean};
    with_rows(problem.rows, problem.classes, kMostChunks, [&]<bool kWhole>(RowChunks<kWhole> chunks) {
      Tensor scratch;
      double* parts = doubles(scratch, 2 * chunks.chunks);
      launch(cross_entropy_rows<T, kWhole>, chunks.shape(), problem, chunks, lse.mut<T>(),
             each ? y.mut<T>() : nullptr, to, parts);
      if (chunks.chunks > 1) launch(finish<T>, block_each(1), to, parts, chunks.chunks);
    });
  });
}

void cross_entropy_backward(Tensor& dlogits, const Tensor& dy, const Tensor& logits, const Tensor& lse,
                            const Tensor& factor, const Tensor& targets, const Tensor& class_weights,
                            const CrossEntropyFlags& flags) {
  if (logits.numel() == 0) return;
  dispatch_floating(logits.dtype(), "cross_entropy", [&]<class T>() {
    const CrossEntropy<T> problem(logits, targets, class_weights, flags);
    with_rows(problem.rows, problem.classes, kMostChunks * 4, [&]<bool kWhole>(RowChunks<kWhole> chunks) {
      launch(cross_entropy_gradient<T, kWhole>, chunks.shape(), problem, chunks, dlogits.mut<T>(),
             dy.ptr<T>(), flags.reduction == Reduction::None, lse.ptr<T>(), factor.ptr<T>());
    });
  });
}

void soft_cross_entropy_forward(Tensor& y, Tensor& lse, const Tensor& logits, const Tensor& targets) {
  dispatch_floating(logits.dtype(), "soft_cross_entropy", [&]<class T>() {
    const int64_t classes = logits.dim(-1);
    const Finish<T> to{y.mut<T>(), nullptr, true};
    with_rows(lse.numel(), classes, kMostChunks, [&]<bool kWhole>(RowChunks<kWhole> chunks) {
      Tensor scratch;
      double* parts = doubles(scratch, 2 * chunks.chunks);
      launch(soft_rows<T, kWhole>, chunks.shape(), logits.ptr<T>(), targets.ptr<T>(), classes, chunks,
             lse.mut<T>(), to, parts);
      if (chunks.chunks > 1) launch(finish<T>, block_each(1), to, parts, chunks.chunks);
    });
  });
}

void soft_cross_entropy_backward(Tensor& dlogits, const Tensor& dy, const Tensor& logits, const Tensor& lse,
                                 const Tensor& targets) {
  if (logits.numel() == 0) return;
  dispatch_floating(logits.dtype(), "soft_cross_entropy", [&]<class T>() {
    const int64_t classes = logits.dim(-1);
    with_rows(lse.numel(), classes, kMostChunks * 4, [&]<bool kWhole>(RowChunks<kWhole> chunks) {
      launch(soft_gradient<T, kWhole>, chunks.shape(), dlogits.mut<T>(), dy.ptr<T>(), logits.ptr<T>(),
             lse.ptr<T>(), targets.ptr<T>(), classes, chunks);
    });
  });
}

void pair_loss_forward(Tensor& y, const Tensor& x, const Tensor& t, PairLoss loss, Reduction reduction) {
  const int64_t n = x.numel();
  dispatch_floating(x.dtype(), "loss", [&]<class T>() {
    const T *a = x.ptr<T>(), *b = t.ptr<T>();
    with_pair_loss(loss, [&]<PairLoss kLoss>() {
      if (reduction == Reduction::None) return map(n, PairValue<kLoss>{}, y.mut<T>(), a, b);
      const int64_t chunk = std::max<int64_t>(8192, chunk_count(n, kMostChunks));
      const int64_t chunks = std::max<int64_t>(1, chunk_count(n, chunk));
      const Finish<T> to{y.mut<T>(), nullptr, reduction == Reduction::Mean};
      Tensor scratch;
      double* parts = doubles(scratch, 2 * chunks);
      launch(pair_chunks<kLoss, T>, block_each(chunks), a, b, n, chunk, to, parts);
      if (chunks > 1) launch(finish<T>, block_each(1), to, parts, chunks);
    });
  });
}

void pair_loss_backward(Tensor& dx, Tensor& dt, const Tensor& dy, const Tensor& x, const Tensor& t,
                        PairLoss loss, Reduction reduction) {
  const int64_t n = x.numel();
  dispatch_floating(x.dtype(), "loss", [&]<class T>() {
    const T *a = x.ptr<T>(), *b = t.ptr<T>(), *g = dy.ptr<T>();
    const double scale = reduction == Reduction::Mean ? 1 / static_cast<double>(std::max<int64_t>(1, n)) : 1;
    const bool each = reduction == Reduction::None;
    with_pair_loss(loss, [&]<PairLoss kLoss>() {
      if (dx.defined()) map(n, PairGradient<kLoss, T, 0>{g, each, scale}, dx.mut<T>(), a, b);
      if (dt.defined()) map(n, PairGradient<kLoss, T, 1>{g, each, scale}, dt.mut<T>(), a, b);
    });
  });
}

}  // namespace lathe::kernels::cuda
