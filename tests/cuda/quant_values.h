#pragma once
// Values for tests of quantizers on a device.

#include <cmath>

#include "core/philox.h"
#include "core/tensor.h"
#include "tests/laws/evaluate.h"

namespace lathe::tests {

/// In [lo, hi), with zeros of both signs and repeated ends.
inline Tensor some(int64_t n, double lo, double hi, const char* name = "values") {
  const Philox philox{.seed = 5, .stream = stream_id(name)};
  Tensor x = Tensor::empty({n});
  for (int64_t i = 0; i < n; ++i) {
    const double u = static_cast<double>(philox.uniform(static_cast<uint64_t>(i)));
    x.mut<float>()[i] = static_cast<float>(lo + (hi - lo) * u);
  }
  if (n > 20 && lo < 0) {
    x.mut<float>()[3] = 0.0f;
    x.mut<float>()[4] = -0.0f;
    x.mut<float>()[7] = x.mut<float>()[n - 1] = static_cast<float>(hi);
  }
  return x;
}

/// |a - b| / |b|
inline double relative(const Tensor& a, const Tensor& b) {
  return std::sqrt(laws::nmse(a.to(Device::cpu()), b.to(Device::cpu())));
}

}  // namespace lathe::tests
