#include "autograd/gradcheck.h"

#include <algorithm>
#include <cmath>

#include "core/philox.h"

namespace lathe {
namespace {

double weighted_sum(const Tensor& y, const Tensor& weights) {
  const double* a = y.ptr<double>();
  const double* w = weights.ptr<double>();
  double sum = 0;
  for (int64_t i = 0; i < y.numel(); ++i) sum += a[i] * w[i];
  return sum;
}

bool near_kink(double x, const GradcheckOptions& options) {
  for (const double kink : options.kinks) {
    if (std::abs(x - kink) <= options.kink_window) return true;
  }
  return false;
}

Tensor random_weights(const Shape& shape, uint64_t seed) {
  Tensor weights = Tensor::empty(shape, DType::F64);
  const Philox philox{seed, stream_id("gradcheck"), 0};
  double* w = weights.mut<double>();
  // Away from zero, so that no output is hidden from the check.
  for (int64_t i = 0; i < weights.numel(); ++i) {
    const double u = philox.uniform(static_cast<uint64_t>(i));
    w[i] = u < 0.5 ? u - 1.0 : u;
  }
  return weights;
}

}  // namespace

std::string GradcheckResult::describe() const {
  if (worst_input < 0) return concat("worst relative error ", worst, " over ", probes, " probes");
  return concat("worst relative error ", worst, " at input ", worst_input, ", element ", worst_element,
                ": analytic ", analytic, ", numeric ", numeric, " (", probes, " probes)");
}

GradcheckResult gradcheck(const std::function<Var(const std::vector<Var>&)>& fn,
                          const std::vector<Var>& inputs, const GradcheckOptions& options) {
  for (const Var& input : inputs) {
    LATHE_CHECK(DTypeError, !input.requires_grad() || input.dtype() == DType::F64,
                "gradcheck: inputs must be f64, found ", input.dtype());
    if (input.requires_grad()) input.grad() = Tensor();
  }
  const Var y = fn(inputs);
  LATHE_CHECK(DTypeError, y.dtype() == DType::F64, "gradcheck: the output must be f64, found ", y.dtype());
  const Tensor weights = random_weights(y.shape(), options.seed);
  if (y.requires_grad()) backward(y, weights);

  const NoGrad no_grad;
  GradcheckResult result;
  for (size_t k = 0; k < inputs.size(); ++k) {
    if (!inputs[k].requires_grad()) continue;
    Tensor& x = inputs[k].mutable_data();
    const Tensor& grad = inputs[k].grad();
    const int64_t stride = std::max<int64_t>(1, x.numel() / std::max<int64_t>(1, options.max_probes));
    for (int64_t i = 0; i < x.numel(); i += stride) {
      const double value = x.ptr<double>()[i];
      if (near_kink(value, options)) continue;
      const double h = options.step * std::max(1.0, std::abs(value));
      const double above = value + h, below = value - h;
      x.mut<double>()[i] = above;
      const double high = weighted_sum(fn(inputs).data(), weights);
      x.mut<double>()[i] = below;
      const double low = weighted_sum(fn(inputs).data(), weights);
      x.mut<double>()[i] = value;
      const double numeric = (high - low) / (above - below);
      const double analytic = grad.defined() ? grad.ptr<double>()[i] : 0.0;
      const double error =
          std::abs(analytic - numeric) / std::max({1.0, std::abs(analytic), std::abs(numeric)});
      ++result.probes;
      if (!std::isnan(result.worst) && !(error <= result.worst)) {  // a NaN stays the worst
        result.worst = error;
        result.worst_input = static_cast<int>(k);
        result.worst_element = i;
        result.analytic = analytic;
        result.numeric = numeric;
      }
    }
  }
  result.passed = result.worst <= options.tolerance;
  return result;
}

}  // namespace lathe
