#include <array>
#include <cmath>
#include <optional>

#include "core/kernels/optim.h"
#include "core/kernels/optim_host.h"
#include "core/parallel.h"
#include "cuda/dispatch.h"
#include "cuda/step.h"
#include "cuda/tensor_list.cuh"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

/// DeviceClip as device code reads it.
struct Clip {
  const double* squares = nullptr;
  double limit = 0;

  explicit Clip(const DeviceClip& clip)
      : squares(clip.squares.defined() ? clip.squares.ptr<double>() : nullptr), limit(clip.limit) {}
  /// NaN: nothing may be updated.
  __device__ double factor() const {
    if (squares == nullptr) return 1;
    return *squares < INFINITY ? clip_coefficient(sqrt(*squares), limit) : NAN;
  }
};

/// The scalars of an update with the limit in their gradients' factor; NaN there: nothing may be updated.
template <class Scalars>
__device__ Scalars clipped(Scalars scalars, const Clip& clip) {
  scalars.grad_scale *= static_cast<decltype(scalars.grad_scale)>(clip.factor());
  return scalars;
}

/// element: p, g and, where kSlot, momentum.
template <class T, bool kSlot, bool kNesterov>
struct Sgd {
  StepValue<SgdScalars<T>> scalars;
  Clip clip;

  struct Step {
    SgdScalars<T> s;
    static constexpr __device__ bool writes(int k) { return k != 1; }
    __device__ void operator()(T* element) const {
      if (s.grad_scale != s.grad_scale) return;
      if constexpr (kSlot) {
        sgd_element<kNesterov>(element[0], element[1], element[2], s);
      } else {
        sgd_element(element[0], element[1], s);
      }
    }
  };
  __device__ Step get() const { return {clipped(scalars.get(), clip)}; }
};

/// element: p, g, m, v.
template <class T>
struct Adam {
  StepValue<AdamScalars<T>> scalars;
  Clip clip;

  struct Step {
    AdamScalars<T> s;
    static constexpr __device__ bool writes(int k) { return k != 1; }
    __device__ void operator()(T* element) const {
      if (s.grad_scale != s.grad_scale) return;
      adam_element(element[0], element[1], element[2], element[3], s);
    }
  };
  __device__ Step get() const { return {clipped(scalars.get(), clip)}; }
};

/// element: p, g, v and, where kSlot, momentum.
template <class T, bool kSlot>
struct Rmsprop {
  StepValue<RmspropScalars<T>> scalars;
  Clip clip;

  struct Step {
    RmspropScalars<T> s;
    static constexpr __device__ bool writes(int k) { return k != 1; }
    __device__ void operator()(T* element) const {
      if (s.grad_scale != s.grad_scale) return;
      if constexpr (kSlot) {
        rmsprop_element(element[0], element[1], element[2], element[3], s);
      } else {
        T none = 0;
        rmsprop_element(element[0], element[1], element[2], none, s);
      }
    }
  };
  __device__ Step get() const { return {clipped(scalars.get(), clip)}; }
};

template <class T>
struct Average {
  T decay, rest;
  static constexpr __device__ bool writes(int k) { return k == 0; }
  __device__ void operator()(T* element) const { element[0] = decay * element[0] + rest * element[1]; }
  __device__ Average get() const { return *this; }
};

template <class T>
struct Copy {
  static constexpr __device__ bool writes(int k) { return k == 0; }
  __device__ void operator()(T* element) const { element[0] = element[1]; }
  __device__ Copy get() const { return *this; }
};

template <class T>
struct Scale {
  T factor;
  static constexpr __device__ bool writes(int) { return true; }
  __device__ void operator()(T* element) const { element[0] *= factor; }
  __device__ Scale get() const { return *this; }
};

template <class T>
struct Squares {
  double* sum;
  static constexpr __device__ bool writes(int) { return false; }
  __device__ void operator()(T* element) const {
    *sum += static_cast<double>(element[0]) * static_cast<double>(element[0]);
  }
};

template <class T>
__global__ void squares_of_chunks(TensorTable<T, 1> table, double* parts) {
  double sum = 0;
  table.for_each(Squares<T>{&sum});
  sum = block_reduce<Sum>(sum);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

__global__ void add_parts(double* total, const double* parts, int64_t n) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += parts[i];
  sum = block_reduce<Sum>(sum);
  if (threadIdx.x == 0) *total = sum;
}

/// Launches once for as many tensors as a table holds; takes(i) says which ones are meant, addresses(i) where
/// they lie in each list.
template <class T, int kLists, class Span, class Takes, class Addresses, class Launch>
void in_tables(const Span& tensors, const Takes& takes, const Addresses& addresses,
               const Launch& launch_table) {
  TensorTable<T, kLists> table;
  const auto flush = [&] {
    if (table.count > 0) launch_table(table);
    table.clear();
  };
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!takes(i)) continue;
    table.push(addresses(i), tensors[i].numel());
    if (table.full()) flush();
  }
  flush();
}

/// For lists that are read only.
template <class T>
T* address(const Tensor& tensor) {
  return const_cast<T*>(tensor.ptr<T>());
}

void check_floating(const char* name, const Tensor& tensor) {
  LATHE_CHECK(DTypeError, tensor.dtype() == DType::F32 || tensor.dtype() == DType::F64, name,
              ": needs f32 or f64, got ", tensor.dtype());
}

constexpr auto kEveryTensor = [](size_t) { return true; };

template <class T, bool kSlot, bool kNesterov>
void sgd(std::span<Tensor> p, std::span<const Tensor> g, std::span<Tensor> momentum,
         const SgdUpdate& update) {
  constexpr int kLists = kSlot ? 3 : 2;
  const Sgd<T, kSlot, kNesterov> rule{{scalars_of<T>(update)}, Clip(update.clip)};
  const auto addresses = [&](size_t i) {
    std::array<T*, kLists> at{p[i].mut<T>(), address<T>(g[i])};
    if constexpr (kSlot) at[2] = momentum[i].mut<T>();
    return at;
  };
  in_tables<T, kLists>(p, kEveryTensor, addresses, [&](const TensorTable<T, kLists>& table) {
    launch(update_tensors<T, kLists, Sgd<T, kSlot, kNesterov>>, block_each(table.blocks), table, rule);
  });
}

template <class T, bool kSlot>
void rmsprop(std::span<Tensor> p, std::span<const Tensor> g, std::span<Tensor> v, std::span<Tensor> momentum,
             const RmspropUpdate& update) {
  constexpr int kLists = kSlot ? 4 : 3;
  const Rmsprop<T, kSlot> rule{{scalars_of<T>(update)}, Clip(update.clip)};
  const auto addresses = [&](size_t i) {
    std::array<T*, kLists> at{p[i].mut<T>(), address<T>(g[i]), v[i].mut<T>()};
    if constexpr (kSlot) at[3] = momentum[i].mut<T>();
    return at;
  };
  in_tables<T, kLists>(p, kEveryTensor, addresses, [&](const TensorTable<T, kLists>& table) {
    launch(update_tensors<T, kLists, Rmsprop<T, kSlot>>, block_each(table.blocks), table, rule);
  });
}

template <class T>
Adam<T> adam_rule(const AdamUpdate& update, int64_t step) {
  return {{scalars_of<T>(update, step)}, Clip(update.clip)};
}

}  // namespace

void sgd_update(std::span<Tensor> p, std::span<const Tensor> g, std::span<Tensor> momentum,
                const SgdUpdate& update) {
  check_lists("sgd_update", g, p);
  const bool slot = !momentum.empty();
  if (slot) check_lists("sgd_update", g, momentum);
  if (p.empty()) return;
  dispatch_floating(p[0].dtype(), "sgd_update", [&]<class T>() {
    if (!slot) return sgd<T, false, false>(p, g, momentum, update);
    update.nesterov ? sgd<T, true, true>(p, g, momentum, update)
                    : sgd<T, true, false>(p, g, momentum, update);
  });
}

void adam_update(std::span<Tensor> p, std::span<const Tensor> g, std::span<Tensor> m, std::span<Tensor> v,
                 std::span<const int64_t> steps, const AdamUpdate& update) {
  check_lists("adam_update", g, p);
  check_lists("adam_update", g, m);
  check_lists("adam_update", g, v);
  LATHE_ASSERT(steps.size() == p.size());
  if (p.empty()) return;
  dispatch_floating(p[0].dtype(), "adam_update", [&]<class T>() {
    // Tensors that were updated equally often share a launch: all of them, but for some that were frozen.
    for (size_t lo = 0, hi = 0; lo < p.size(); lo = hi) {
      while (hi < p.size() && steps[hi] == steps[lo]) ++hi;
      const Adam<T> rule = adam_rule<T>(update, steps[lo]);
      const auto addresses = [&](size_t i) {
        return std::array<T*, 4>{p[lo + i].mut<T>(), address<T>(g[lo + i]), m[lo + i].mut<T>(),
                                 v[lo + i].mut<T>()};
      };
      in_tables<T, 4>(p.subspan(lo, hi - lo), kEveryTensor, addresses, [&](const TensorTable<T, 4>& table) {
        launch(update_tensors<T, 4, Adam<T>>, block_each(table.blocks), table, rule);
      });
    }
  });
}

void rmsprop_update(std::span<Tensor> p, std::span<const Tensor> g, std::span<Tensor> v,
                    std::span<Tensor> momentum, const RmspropUpdate& update) {
  check_lists("rmsprop_update", g, p);
  check_lists("rmsprop_update", g, v);
  const bool slot = !momentum.empty();
  if (slot) check_lists("rmsprop_update", g, momentum);
  if (p.empty()) return;
  dispatch_floating(p[0].dtype(), "rmsprop_update", [&]<class T>() {
    slot ? rmsprop<T, true>(p, g, v, momentum, update) : rmsprop<T, false>(p, g, v, momentum, update);
  });
}

void ema_update(std::span<Tensor> average, std::span<const Tensor> x, double decay) {
  check_lists("ema_update", x, average);
  const auto update = [&]<class T>() {
    const auto takes = [&](size_t i) { return average[i].dtype() == dtype_of<T>(); };
    const auto addresses = [&](size_t i) { return std::array<T*, 2>{average[i].mut<T>(), address<T>(x[i])}; };
    in_tables<T, 2>(average, takes, addresses, [&](const TensorTable<T, 2>& table) {
      if constexpr (std::is_floating_point_v<T>) {
        launch(update_tensors<T, 2, Average<T>>, block_each(table.blocks), table,
               Average<T>{static_cast<T>(decay), static_cast<T>(1 - decay)});
      } else {
        launch(update_tensors<T, 2, Copy<T>>, block_each(table.blocks), table, Copy<T>{});
      }
    });
  };
  std::optional<DType> done[8];
  size_t types = 0;
  for (const Tensor& tensor : average) {
    if (std::find(done, done + types, tensor.dtype()) != done + types) continue;
    done[types++] = tensor.dtype();
    dispatch_element(tensor.dtype(), update);
  }
}

void sum_of_squares(Tensor& total, std::span<const Tensor> x) {
  LATHE_ASSERT(total.dtype() == DType::F64 && total.numel() == 1);
  int64_t chunks = 0;
  for (const Tensor& tensor : x) {
    check_floating("sum_of_squares", tensor);
    chunks += chunk_count(tensor.numel(), kListChunk);
  }
  Tensor scratch = Tensor::empty({chunks}, DType::F64, current_device());
  double* parts = scratch.mut<double>();
  int64_t done = 0;
  const auto sum = [&]<class T>() {
    const auto takes = [&](size_t i) { return x[i].dtype() == dtype_of<T>(); };
    const auto addresses = [&](size_t i) { return std::array<T*, 1>{address<T>(x[i])}; };
    in_tables<T, 1>(x, takes, addresses, [&](const TensorTable<T, 1>& table) {
      launch(squares_of_chunks<T>, block_each(table.blocks), table, parts + done);
      done += table.blocks;
    });
  };
  sum.template operator()<float>();
  sum.template operator()<double>();
  launch(add_parts, block_each(1, 1024), total.mut<double>(), parts, chunks);
}

void scale_in_place(std::span<Tensor> x, double factor) {
  for (const Tensor& tensor : x) check_floating("scale_in_place", tensor);
  const auto scale = [&]<class T>() {
    const auto takes = [&](size_t i) { return x[i].dtype() == dtype_of<T>(); };
    const auto addresses = [&](size_t i) { return std::array<T*, 1>{x[i].mut<T>()}; };
    in_tables<T, 1>(x, takes, addresses, [&](const TensorTable<T, 1>& table) {
      launch(update_tensors<T, 1, Scale<T>>, block_each(table.blocks), table,
             Scale<T>{static_cast<T>(factor)});
    });
  };
  scale.template operator()<float>();
  scale.template operator()<double>();
}

}  // namespace lathe::kernels::cuda
