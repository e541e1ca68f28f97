#pragma once
// For tests of kernels: reproducible inputs, comparisons, and the sweep over threads and instruction sets.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "core/cpu/isa.h"
#include "core/parallel.h"
#include "core/philox.h"
#include "core/tensor.h"

namespace lathe::tests {

/// Uniform in [lo, hi), another sequence for each `seed`.
inline Tensor random_tensor(const Shape& shape, uint64_t seed, double lo = -1, double hi = 1,
                            DType dtype = DType::F32) {
  const Philox philox{.seed = seed, .stream = stream_id("test")};
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(lo + (hi - lo) * philox.uniform(i));
  }
  return Tensor::from(values, shape).to(dtype);
}

/// |a - b|^2 / |b|^2, in f64.
inline double nmse(const Tensor& a, const Tensor& b) {
  const Tensor x = a.to(DType::F64), y = b.to(DType::F64);
  double error = 0, norm = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    const double d = x.ptr<double>()[i] - y.ptr<double>()[i];
    error += d * d;
    norm += y.ptr<double>()[i] * y.ptr<double>()[i];
  }
  return error == 0 ? 0 : error / norm;
}

/// Restores the number of threads.
class Threads {
 public:
  explicit Threads(int n) : previous_(num_threads()) { set_num_threads(n); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() { set_num_threads(previous_); }

 private:
  int previous_;
};

/// True if `run` gives the same bits on 1, 2, 3 and 5 threads.
inline bool thread_invariant(const std::function<Tensor()>& run) {
  Tensor first;
  for (const int n : {1, 2, 3, 5}) {
    const Threads threads(n);
    const Tensor y = run();
    if (!first.defined()) first = y;
    if (!same_bits(first, y)) return false;
  }
  return true;
}

/// The instruction sets of this machine.
inline std::vector<cpu::Isa> isas() {
  std::vector<cpu::Isa> sets;
  for (const cpu::Isa isa : {cpu::Isa::Portable, cpu::Isa::V3, cpu::Isa::V4}) {
    if (isa <= cpu::widest_isa()) sets.push_back(isa);
  }
  return sets;
}

/// Largest nmse of run() over the instruction sets against the portable result.
inline double isa_spread(const std::function<Tensor()>& run) {
  Tensor portable;
  double worst = 0;
  for (const cpu::Isa isa : isas()) {
    const cpu::ForceIsa force(isa);
    const Tensor y = run();
    if (!portable.defined()) portable = y;
    const double error = nmse(y, portable);
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

}  // namespace lathe::tests
