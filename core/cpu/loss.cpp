#include "core/kernels/loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cpu/by_type.h"
#include "core/cpu/isa_softmax.h"
#include "core/kernels/loss_math.h"
#include "core/parallel.h"

namespace lathe::kernels::cpu {
namespace {

// Values per task of a row loss, and elements per task of a pair loss.
constexpr int64_t kGrain = 16384;

int64_t row_grain(int64_t classes) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, classes));
}

double sum_in_order(const std::vector<double>& parts) {
  double sum = 0;
  for (const double part : parts) sum += part;
  return sum;
}

/// What cross entropy's two passes share.
template <class T>
struct CrossEntropy {
  const T* logits;
  const int64_t* targets;
  const T* weights;  // null: all 1
  int64_t rows, classes;
  int64_t ignored;
  double smoothing;
  double weight_sum;  // over the classes

  CrossEntropy(const Tensor& x, const Tensor& t, const Tensor& w, const CrossEntropyFlags& flags)
      : logits(x.ptr<T>()),
        targets(t.ptr<int64_t>()),
        weights(w.defined() ? w.ptr<T>() : nullptr),
        rows(t.numel()),
        classes(x.dim(-1)),
        ignored(flags.ignore_index),
        smoothing(flags.label_smoothing),
        weight_sum(static_cast<double>(classes)) {
    if (weights == nullptr) return;
    weight_sum = 0;
    for (int64_t c = 0; c < classes; ++c) weight_sum += weight(c);
  }

  double weight(int64_t c) const { return weights != nullptr ? static_cast<double>(weights[c]) : 1; }

  /// Sum of the targets' weights over the rows that count; ShapeError for a target out of range.
  double total_weight() const {
    double total = 0;
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t t = targets[row];
      if (t == ignored) continue;
      LATHE_CHECK(ShapeError, t >= 0 && t < classes, "cross_entropy: target of row ", row, " is ", t,
                  ", there are ", classes, " classes");
      total += weight(t);
    }
    return total;
  }

  double row_loss(int64_t row, double lse) const {
    const int64_t t = targets[row];
    if (t == ignored) return 0;
    const T* x = logits + row * classes;
    double loss = (1 - smoothing) * weight(t) * (lse - static_cast<double>(x[t]));
    if (smoothing != 0) {
      double all = 0;
      for (int64_t c = 0; c < classes; ++c) all += weight(c) * (lse - static_cast<double>(x[c]));
      loss += smoothing / static_cast<double>(classes) * all;
    }
    return loss;
  }

  /// dx = g times the derivative of row_loss.
  void row_gradient(T* dx, int64_t row, T lse, double g) const {
    const int64_t t = targets[row];
    if (t == ignored) {
      std::fill(dx, dx + classes, T{0});
      return;
    }
    const double hard = g * (1 - smoothing) * weight(t), soft = g * smoothing / static_cast<double>(classes);
    lathe::cpu::by_type<T>(lathe::cpu::scaled_exp_f32, lathe::cpu::scaled_exp_f64)(
        dx, logits + row * classes, lse, static_cast<T>(hard + soft * weight_sum), classes);
    if (smoothing != 0) {
      for (int64_t c = 0; c < classes; ++c) dx[c] -= static_cast<T>(soft * weight(c));
    }
    dx[t] -= static_cast<T>(hard);
  }
};

template <class T>
T row_lse(const T* x, int64_t classes) {
  return lathe::cpu::by_type<T>(lathe::cpu::log_sum_exp_f32, lathe::cpu::log_sum_exp_f64)(x, classes);
}

}  // namespace

void cross_entropy_forward(Tensor& y, Tensor& lse, Tensor& factor, const Tensor& logits,
                           const Tensor& targets, const Tensor& class_weights,
                           const CrossEntropyFlags& flags) {
  dispatch_floating(logits.dtype(), "cross_entropy", [&]<class T>() {
    const CrossEntropy<T> problem(logits, targets, class_weights, flags);
    const double total = problem.total_weight();
    T* row_lses = lse.mut<T>();
    T* losses = flags.reduction == Reduction::None ? y.mut<T>() : nullptr;
    const int64_t grain = row_grain(problem.classes);
    std::vector<double> parts(static_cast<size_t>(chunk_count(problem.rows, grain)));
    parallel_for(problem.rows, grain, [&](int64_t lo, int64_t hi) {
      double sum = 0;
      for (int64_t row = lo; row < hi; ++row) {
        row_lses[row] = row_lse(problem.logits + row * problem.classes, problem.classes);
        const double loss = problem.row_loss(row, static_cast<double>(row_lses[row]));
        if (losses != nullptr) losses[row] = static_cast<T>(loss);
        sum += loss;
      }
      parts[static_cast<size_t>(lo / grain)] = sum;
    });
    const double scale = flags.reduction != Reduction::Mean ? 1 : total > 0 ? 1 / total : 0;
    *factor.mut<T>() = static_cast<T>(scale);
    if (losses == nullptr) *y.mut<T>() = static_cast<T>(sum_in_order(parts) * scale);
  });
}

void cross_entropy_backward(Tensor& dlogits, const Tensor& dy, const Tensor& logits, const Tensor& lse,
                            const Tensor& factor, const Tensor& targets, const Tensor& class_weights,
                            const CrossEntropyFlags& flags) {
  dispatch_floating(logits.dtype(), "cross_entropy", [&]<class T>() {
    const CrossEntropy<T> problem(logits, targets, class_weights, flags);
    const T *g = dy.ptr<T>(), *row_lses = lse.ptr<T>();
    const double scale = static_cast<double>(*factor.ptr<T>());
    T* dx = dlogits.mut<T>();
    const bool each = flags.reduction == Reduction::None;
    parallel_for(problem.rows, row_grain(problem.classes), [&](int64_t lo, int64_t hi) {
      for (int64_t row = lo; row < hi; ++row) {
        problem.row_gradient(dx + row * problem.classes, row, row_lses[row],
                             scale * static_cast<double>(g[each ? row : 0]));
      }
    });
  });
}

void soft_cross_entropy_forward(Tensor& y, Tensor& lse, const Tensor& logits, const Tensor& targets) {
  const int64_t rows = lse.numel(), classes = logits.dim(-1), grain = row_grain(classes);
  dispatch_floating(logits.dtype(), "soft_cross_entropy", [&]<class T>() {
    const T *x = logits.ptr<T>(), *p = targets.ptr<T>();
    T* row_lses = lse.mut<T>();
    std::vector<double> parts(static_cast<size_t>(chunk_count(rows, grain)));
    parallel_for(rows, grain, [&](int64_t lo, int64_t hi) {
      double sum = 0;
      for (int64_t row = lo; row < hi; ++row) {
        row_lses[row] = row_lse(x + row * classes, classes);
        const double log_sum = static_cast<double>(row_lses[row]);
        for (int64_t i = row * classes; i < (row + 1) * classes; ++i) {
          sum += static_cast<double>(p[i]) * (log_sum - static_cast<double>(x[i]));
        }
      }
      parts[static_cast<size_t>(lo / grain)] = sum;
    });
    *y.mut<T>() = static_cast<T>(rows > 0 ? sum_in_order(parts) / static_cast<double>(rows) : 0);
  });
}

void soft_cross_entropy_backward(Tensor& dlogits, const Tensor& dy, const Tensor& logits, const Tensor& lse,
                                 const Tensor& targets) {
  const int64_t rows = lse.numel(), classes = logits.dim(-1);
  dispatch_floating(logits.dtype(), "soft_cross_entropy", [&]<class T>() {
    const T *x = logits.ptr<T>(), *p = targets.ptr<T>(), *row_lses = lse.ptr<T>();
    T* dx = dlogits.mut<T>();
    const double g = static_cast<double>(*dy.ptr<T>()) / static_cast<double>(std::max<int64_t>(1, rows));
    parallel_for(rows, row_grain(classes), [&](int64_t lo, int64_t hi) {
      for (int64_t row = lo; row < hi; ++row) {
        const int64_t at = row * classes;
        double mass = 0;
        for (int64_t c = 0; c < classes; ++c) mass += static_cast<double>(p[at + c]);
        lathe::cpu::by_type<T>(lathe::cpu::scaled_exp_f32, lathe::cpu::scaled_exp_f64)(
            dx + at, x + at, row_lses[row], static_cast<T>(g * mass), classes);
        for (int64_t c = 0; c < classes; ++c) dx[at + c] -= static_cast<T>(g) * p[at + c];
      }
    });
  });
}

void pair_loss_forward(Tensor& y, const Tensor& x, const Tensor& t, PairLoss loss, Reduction reduction) {
  const int64_t n = x.numel();
  dispatch_floating(x.dtype(), "loss", [&]<class T>() {
    const T *a = x.ptr<T>(), *b = t.ptr<T>();
    T* losses = reduction == Reduction::None ? y.mut<T>() : nullptr;
    std::vector<double> parts(static_cast<size_t>(chunk_count(n, kGrain)));
    with_pair_loss(loss, [&]<PairLoss kLoss>() {
      parallel_for(n, kGrain, [&](int64_t lo, int64_t hi) {
        double sum = 0;
        for (int64_t i = lo; i < hi; ++i) {
          const double value =
              PairFormula<kLoss>::value(static_cast<double>(a[i]), static_cast<double>(b[i]));
          if (losses != nullptr) losses[i] = static_cast<T>(value);
          sum += value;
        }
        parts[static_cast<size_t>(lo / kGrain)] = sum;
      });
    });
    if (losses != nullptr) return;
    const double count = reduction == Reduction::Mean ? static_cast<double>(std::max<int64_t>(1, n)) : 1;
    *y.mut<T>() = static_cast<T>(sum_in_order(parts) / count);
  });
}

void pair_loss_backward(Tensor& dx, Tensor& dt, const Tensor& dy, const Tensor& x, const Tensor& t,
                        PairLoss loss, Reduction reduction) {
  const int64_t n = x.numel();
  dispatch_floating(x.dtype(), "loss", [&]<class T>() {
    const T *a = x.ptr<T>(), *b = t.ptr<T>(), *g = dy.ptr<T>();
    T* da = dx.defined() ? dx.mut<T>() : nullptr;
    T* db = dt.defined() ? dt.mut<T>() : nullptr;
    const double scale = reduction == Reduction::Mean ? 1 / static_cast<double>(std::max<int64_t>(1, n)) : 1;
    const int64_t step = reduction == Reduction::None ? 1 : 0;
    with_pair_loss(loss, [&]<PairLoss kLoss>() {
      parallel_for(n, kGrain, [&](int64_t lo, int64_t hi) {
        for (int64_t i = lo; i < hi; ++i) {
          const double v = static_cast<double>(a[i]), w = static_cast<double>(b[i]);
          const double outer = scale * static_cast<double>(g[i * step]);
          if (da != nullptr) da[i] = static_cast<T>(outer * PairFormula<kLoss>::dx(v, w));
          if (db != nullptr) db[i] = static_cast<T>(outer * PairFormula<kLoss>::dt(v, w));
        }
      });
    });
  });
}

}  // namespace lathe::kernels::cpu
