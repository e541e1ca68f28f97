#include "core/kernels/optim.h"

#include <algorithm>
#include <cmath>

#include "core/cpu/isa_optim.h"
#include "core/kernels/optim_host.h"
#include "core/parallel.h"

namespace lathe::kernels::cpu {
namespace {

// A chunk is a stretch of the tensors laid end to end, so that many small tensors make one chunk and a large
// one makes several. 64 KiB of f32 per operand.
constexpr int64_t kGrain = 16384;

template <class Span>
int64_t total_numel(const Span& tensors) {
  int64_t total = 0;
  for (const Tensor& tensor : tensors) total += tensor.numel();
  return total;
}

/// Calls body(tensor, begin, end) for the parts of each tensor that lie in the stretch [lo, hi), in order.
template <class Span, class Body>
void for_each_part(const Span& tensors, int64_t lo, int64_t hi, Body body) {
  int64_t start = 0;
  for (size_t i = 0; i < tensors.size() && start < hi; ++i) {
    const int64_t n = tensors[i].numel();
    const int64_t begin = std::max(lo - start, int64_t{0});
    const int64_t end = std::min(hi - start, n);
    if (begin < end) body(i, begin, end);
    start += n;
  }
}

/// Address for writing that does not count as a write, for the workers; bump() counts it once beforehand.
template <class T>
T* address(const Tensor& tensor) {
  return const_cast<T*>(tensor.ptr<T>());
}

template <class T>
void bump(std::span<Tensor> tensors) {
  for (Tensor& tensor : tensors) tensor.mut<T>();
}

}  // namespace

void sgd_update(std::span<Tensor> p, std::span<const Tensor> g, std::span<Tensor> momentum,
                const SgdUpdate& update) {
  check_lists("sgd_update", g, p);
  const bool slot = !momentum.empty();
  if (slot) check_lists("sgd_update", g, momentum);
  if (p.empty()) return;
  LATHE_ASSERT(!update.clip.squares.defined(), "the host knows its norms");
  dispatch_floating(p[0].dtype(), "sgd_update", [&]<class T>() {
    const auto s = scalars_of<T>(update);
    bump<T>(p);
    bump<T>(momentum);
    parallel_for(total_numel(p), kGrain, [&](int64_t lo, int64_t hi) {
      for_each_part(p, lo, hi, [&](size_t i, int64_t begin, int64_t end) {
        T* buffer = slot ? address<T>(momentum[i]) + begin : nullptr;
        if constexpr (std::is_same_v<T, float>) {
          lathe::cpu::sgd_f32(address<T>(p[i]) + begin, g[i].ptr<T>() + begin, buffer, end - begin, s,
                              update.nesterov);
        } else {
          lathe::cpu::sgd_f64(address<T>(p[i]) + begin, g[i].ptr<T>() + begin, buffer, end - begin, s,
                              update.nesterov);
        }
      });
    });
  });
}

void adam_update(std::span<Tensor> p, std::span<const Tensor> g, std::span<Tensor> m, std::span<Tensor> v,
                 std::span<const int64_t> steps, const AdamUpdate& update) {
  check_lists("adam_update", g, p);
  check_lists("adam_update", g, m);
  check_lists("adam_update", g, v);
  LATHE_ASSERT(steps.size() == p.size());
  if (p.empty()) return;
  LATHE_ASSERT(!update.clip.squares.defined(), "the host knows its norms");
  dispatch_floating(p[0].dtype(), "adam_update", [&]<class T>() {
    bump<T>(p);
    bump<T>(m);
    bump<T>(v);
    parallel_for(total_numel(p), kGrain, [&](int64_t lo, int64_t hi) {
      for_each_part(p, lo, hi, [&](size_t i, int64_t begin, int64_t end) {
        const auto s = scalars_of<T>(update, steps[i]);
        T* weight = address<T>(p[i]) + begin;
        const T* gradient = g[i].ptr<T>() + begin;
        T* first = address<T>(m[i]) + begin;
        T* second = address<T>(v[i]) + begin;
        if constexpr (std::is_same_v<T, float>) {
          lathe::cpu::adam_f32(weight, gradient, first, second, end - begin, s);
        } else {
          lathe::cpu::adam_f64(weight, gradient, first, second, end - begin, s);
        }
      });
    });
  });
}

void rmsprop_update(std::span<Tensor> p, std::span<const Tensor> g, std::span<Tensor> v,
                    std::span<Tensor> momentum, const RmspropUpdate& update) {
  check_lists("rmsprop_update", g, p);
  check_lists("rmsprop_update", g, v);
  const bool slot = !momentum.empty();
  if (slot) check_lists("rmsprop_update", g, momentum);
  if (p.empty()) return;
  LATHE_ASSERT(!update.clip.squares.defined(), "the host knows its norms");
  dispatch_floating(p[0].dtype(), "rmsprop_update", [&]<class T>() {
    const auto s = scalars_of<T>(update);
    bump<T>(p);
    bump<T>(v);
    bump<T>(momentum);
    parallel_for(total_numel(p), kGrain, [&](int64_t lo, int64_t hi) {
      for_each_part(p, lo, hi, [&](size_t i, int64_t begin, int64_t end) {
        T* weight = address<T>(p[i]) + begin;
        const T* gradient = g[i].ptr<T>() + begin;
        T* square = address<T>(v[i]) + begin;
        T* buffer = slot ? address<T>(momentum[i]) + begin : nullptr;
        if constexpr (std::is_same_v<T, float>) {
          lathe::cpu::rmsprop_f32(weight, gradient, square, buffer, end - begin, s);
        } else {
          lathe::cpu::rmsprop_f64(weight, gradient, square, buffer, end - begin, s);
        }
      });
    });
  });
}

void ema_update(std::span<Tensor> average, std::span<const Tensor> x, double decay) {
  check_lists("ema_update", x, average);
  for (Tensor& tensor : average) tensor.raw_mut();
  parallel_for(total_numel(average), kGrain, [&](int64_t lo, int64_t hi) {
    for_each_part(average, lo, hi, [&](size_t i, int64_t begin, int64_t end) {
      dispatch_element(average[i].dtype(), [&]<class T>() {
        T* out = address<T>(average[i]) + begin;
        const T* in = x[i].ptr<T>() + begin;
        if constexpr (std::is_same_v<T, float>) {
          lathe::cpu::ema_f32(out, in, end - begin, decay);
        } else if constexpr (std::is_same_v<T, double>) {
          lathe::cpu::ema_f64(out, in, end - begin, decay);
        } else {
          std::copy(in, in + (end - begin), out);
        }
      });
    });
  });
}

void sum_of_squares(Tensor& total, std::span<const Tensor> x) {
  LATHE_ASSERT(total.dtype() == DType::F64 && total.numel() == 1);
  const int64_t n = total_numel(x);
  const int64_t chunks = chunk_count(n, kGrain);
  Tensor partials = Tensor::empty({chunks}, DType::F64);
  double* sums = partials.mut<double>();
  parallel_for(n, kGrain, [&](int64_t lo, int64_t hi) {
    double sum = 0;
    for_each_part(x, lo, hi, [&](size_t i, int64_t begin, int64_t end) {
      dispatch_floating(x[i].dtype(), "sum_of_squares", [&]<class T>() {
        const T* values = x[i].ptr<T>() + begin;
        if constexpr (std::is_same_v<T, float>) {
          sum += lathe::cpu::squares_f32(values, end - begin);
        } else {
          sum += lathe::cpu::squares_f64(values, end - begin);
        }
      });
    });
    sums[lo / kGrain] = sum;
  });
  double sum = 0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) sum += sums[chunk];
  *total.mut<double>() = sum;
}

void scale_in_place(std::span<Tensor> x, double factor) {
  for (Tensor& tensor : x) tensor.raw_mut();
  parallel_for(total_numel(x), kGrain, [&](int64_t lo, int64_t hi) {
    for_each_part(x, lo, hi, [&](size_t i, int64_t begin, int64_t end) {
      dispatch_floating(x[i].dtype(), "scale_in_place", [&]<class T>() {
        T* values = address<T>(x[i]);
        const T scale = static_cast<T>(factor);
        for (int64_t k = begin; k < end; ++k) values[k] *= scale;
      });
    });
  });
}

}  // namespace lathe::kernels::cpu
