#pragma once
// Kernels over the consecutive groups of a tensor's elements: maps, and reductions of each group, which may
// write a value per element on the way. Elements are taken four at a time, with 16-byte accesses where
// addresses allow it.

#if defined(__CUDA_ARCH__) && !defined(LATHE_HOST_MATH)
#error "files of cuda/quant are compiled with -fmad=false -DLATHE_HOST_MATH=1"
#endif

#include "cuda/device.cuh"
#include "cuda/dispatch.h"

namespace lathe::cuda {

/// Groups of `size` elements (0: one group, even of no elements), the last may be shorter.
struct GroupSpan {
  int64_t numel = 0, size = 1, count = 0;
  GroupSpan(int64_t elements, int64_t group) : numel(elements), size(elements > 1 ? elements : 1) {
    if (group > 0 && group < size) size = group;
    count = elements > 0 ? (elements + size - 1) / size : (group > 0 ? 0 : 1);
  }
  LATHE_HD int64_t begin(int64_t g) const { return g * size; }
  LATHE_HD int64_t end(int64_t g) const { return g + 1 < count ? (g + 1) * size : numel; }
  /// Of an element; in 32 bits where they suffice, which is several times faster.
  LATHE_HD int64_t group_of(int64_t i) const {
    if (numel < (int64_t{1} << 32)) return static_cast<uint32_t>(i) / static_cast<uint32_t>(size);
    return i / size;
  }
};

/// A parameter of groups: one for all, or one each.
template <class T>
struct PerGroup {
  const T* values;
  int64_t step;
  explicit PerGroup(const Tensor& tensor) : values(tensor.ptr<T>()), step(tensor.numel() == 1 ? 0 : 1) {}
  /// Zeros where the tensor is undefined.
  static PerGroup or_zero(const Tensor& tensor) { return tensor.defined() ? PerGroup(tensor) : PerGroup(); }
  __device__ T operator[](int64_t g) const { return values != nullptr ? values[g * step] : T(0); }

 private:
  PerGroup() : values(nullptr), step(0) {}
};

inline constexpr int kQuad = 4;

template <class T>
struct alignas(16) Quad {
  T v[kQuad];
};

/// Of n >= 1 elements from x on; the others of four are undefined.
template <bool kWide, class T>
__device__ __forceinline__ void load_quad(T (&out)[kQuad], const T* x, int64_t n) {
  if (kWide && n >= kQuad) {
    const Quad<T> q = *reinterpret_cast<const Quad<T>*>(x);
    for (int k = 0; k < kQuad; ++k) out[k] = q.v[k];
    return;
  }
  for (int k = 0; k < kQuad; ++k) out[k] = k < n ? x[k] : T(0);
}
template <bool kWide, class T>
__device__ __forceinline__ void store_quad(T* y, const T (&values)[kQuad], int64_t n) {
  if (kWide && n >= kQuad) {
    Quad<T> q;
    for (int k = 0; k < kQuad; ++k) q.v[k] = values[k];
    *reinterpret_cast<Quad<T>*>(y) = q;
    return;
  }
  for (int k = 0; k < kQuad; ++k) {
    if (k < n) y[k] = values[k];
  }
}

/// Null pointers are.
inline bool aligned(std::initializer_list<const void*> pointers) {
  for (const void* p : pointers) {
    if (reinterpret_cast<uintptr_t>(p) % 16 != 0) return false;
  }
  return true;
}

template <bool kWide, class T, class Fn>
__global__ void map_quads(GroupSpan s, Fn fn, T* y, const T* a, const T* b) {
  for (int64_t q = thread_index(); q * kQuad < s.numel; q += thread_count()) {
    const int64_t first = q * kQuad, n = s.numel - first;
    T x[kQuad], z[kQuad] = {}, out[kQuad] = {};
    load_quad<kWide>(x, a + first, n);
    if (b != nullptr) load_quad<kWide>(z, b + first, n);
    int64_t g = s.group_of(first), next = s.end(g);
    auto shared = fn.group(g);
    for (int k = 0; k < kQuad; ++k) {
      if (k >= n) break;
      if (first + k == next) {
        next = s.end(++g);
        shared = fn.group(g);
      }
      out[k] = fn.value(shared, first + k, x[k], z[k]);
    }
    store_quad<kWide>(y + first, out, n);
  }
}

/// y[i] = fn.value(fn.group(g), i, a[i], b[i]) for the elements i of each group g; b may be null (0).
/// fn.group(g) loads what a group shares.
template <class T, class Fn>
void map_groups(const GroupSpan& s, const Fn& fn, T* y, const T* a, const T* b = nullptr) {
  const auto shape = over(s.numel, kQuad);
  if (aligned({y, a, b})) return launch(map_quads<true, T, Fn>, shape, s, fn, y, a, b);
  launch(map_quads<false, T, Fn>, shape, s, fn, y, a, b);
}

/// What functors of reduce_groups have where they add up numbers in f64.
template <int K>
struct SumFn {
  using V = double;
  static constexpr int kCount = K;
  static __device__ V none(int) { return 0; }
  static __device__ V join(int, V a, V b) { return a + b; }
};

template <class Fn>
struct Partial {
  typename Fn::V v[Fn::kCount];
  static __device__ Partial none() {
    Partial p;
    for (int k = 0; k < Fn::kCount; ++k) p.v[k] = Fn::none(k);
    return p;
  }
  __device__ void join(const Partial& other) {
    for (int k = 0; k < Fn::kCount; ++k) v[k] = Fn::join(k, v[k], other.v[k]);
  }
  /// With the other lanes of its `lanes` (a power of two) neighbours, in a fixed tree.
  __device__ void join_lanes(int lanes) {
    for (int offset = lanes / 2; offset > 0; offset /= 2) {
      for (int k = 0; k < Fn::kCount; ++k)
        v[k] = Fn::join(k, v[k], __shfl_xor_sync(0xFFFFFFFFu, v[k], offset));
    }
  }
  /// With the whole block's; every thread gets the result. Ends with a barrier.
  __device__ void join_block() {
    __shared__ typename Fn::V of_warp[Fn::kCount][kWarp];
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
    join_lanes(kWarp);
    if (lane == 0) {
      for (int k = 0; k < Fn::kCount; ++k) of_warp[k][warp] = v[k];
    }
    __syncthreads();
    for (int k = 0; k < Fn::kCount; ++k) {
      v[k] = of_warp[k][0];
      for (int w = 1; w < warps; ++w) v[k] = Fn::join(k, v[k], of_warp[k][w]);
    }
    __syncthreads();
  }
};

/// `lanes` threads, a power of two up to 32, for each group.
template <class T, class Fn>
__global__ void reduce_small_groups(GroupSpan s, int lanes, Fn fn, T* y, const T* a, const T* b) {
  const int in_warp = threadIdx.x % kWarp, lane = in_warp % lanes;
  const int64_t stride = thread_count() / lanes;
  // All lanes of a warp go round equally often.
  for (int64_t first = (thread_index() - in_warp) / lanes; first < s.count; first += stride) {
    const int64_t g = first + in_warp / lanes;
    auto found = Partial<Fn>::none();
    if (g < s.count) {
      const auto shared = fn.group(g);
      const int64_t end = s.end(g);
      for (int64_t i = s.begin(g) + lane; i < end; i += lanes) {
        const T value = fn.element(shared, i, a[i], b != nullptr ? b[i] : T(0), found.v);
        if (y != nullptr) y[i] = value;
      }
    }
    found.join_lanes(lanes);
    if (lane == 0 && g < s.count) fn.finish(g, found.v);
  }
}

/// A block for each piece of `length` elements (a multiple of 4) of each group.
template <bool kWide, class T, class Fn>
__global__ void __launch_bounds__(1024) reduce_pieces(GroupSpan s, int64_t pieces, int64_t length, Fn fn,
                                                      T* y, const T* a, const T* b, Partial<Fn>* partial) {
  const int64_t g = blockIdx.x / pieces, begin = s.begin(g) + blockIdx.x % pieces * length;
  const int64_t end = begin + length < s.end(g) ? begin + length : s.end(g);
  const auto shared = fn.group(g);
  auto found = Partial<Fn>::none();
  for (int64_t first = begin + kQuad * static_cast<int64_t>(threadIdx.x); first < end;
       first += kQuad * static_cast<int64_t>(blockDim.x)) {
    T x[kQuad], z[kQuad] = {}, out[kQuad] = {};
    load_quad<kWide>(x, a + first, end - first);
    if (b != nullptr) load_quad<kWide>(z, b + first, end - first);
    for (int k = 0; k < kQuad; ++k) {
      if (first + k < end) out[k] = fn.element(shared, first + k, x[k], z[k], found.v);
    }
    if (y != nullptr) store_quad<kWide>(y + first, out, end - first);
  }
  found.join_block();
  if (threadIdx.x != 0) return;
  if (partial != nullptr) {
    partial[blockIdx.x] = found;
  } else {
    fn.finish(g, found.v);
  }
}

/// A block for each group.
template <class Fn>
__global__ void join_pieces(int64_t pieces, Fn fn, const Partial<Fn>* partial) {
  auto found = Partial<Fn>::none();
  for (int64_t p = threadIdx.x; p < pieces; p += blockDim.x) found.join(partial[blockIdx.x * pieces + p]);
  found.join_block();
  if (threadIdx.x == 0) fn.finish(blockIdx.x, found.v);
}

/// Scratch memory for n of V, on the device; keep it until the launches that use it are made.
template <class V>
Tensor scratch_for(int64_t n) {
  return Tensor::empty({n * static_cast<int64_t>(sizeof(V))}, DType::U8, current_device());
}
template <class V>
V* scratch_ptr(Tensor& scratch) {
  return reinterpret_cast<V*>(scratch.mut<uint8_t>());
}

// Groups up to this size get a part of a warp, groups up to the second one block: every weight of a small
// network takes one launch. Larger ones are cut into pieces, whose partial results a second launch joins.
inline constexpr int64_t kSmallGroup = 1024, kOneBlock = 40960, kPieceLength = 8192;

/// For each group g: y[i] = fn.element(fn.group(g), i, a[i], b[i], partial) of its elements (y and b may be
/// null), which joins what it finds to `partial`, Fn::kCount numbers; then fn.finish(g, partial), once. The
/// tree in which partial results are joined depends on sizes only.
template <class T, class Fn>
void reduce_groups(const GroupSpan& s, const Fn& fn, T* y, const T* a, const T* b = nullptr) {
  if (s.count == 0) return;
  if (s.size <= kSmallGroup && s.count > 1) {
    int lanes = 1;
    while (lanes < kWarp && lanes * 2 * kQuad <= s.size) lanes *= 2;
    return launch(reduce_small_groups<T, Fn>, over(s.count * lanes), s, lanes, fn, y, a, b);
  }
  const bool whole = s.size <= kOneBlock;
  const int64_t length = whole ? (s.size + kQuad - 1) / kQuad * kQuad : kPieceLength;
  const int64_t pieces = (s.size + length - 1) / length;
  Tensor scratch = whole ? Tensor() : scratch_for<Partial<Fn>>(s.count * pieces);
  auto* partial = whole ? nullptr : scratch_ptr<Partial<Fn>>(scratch);
  const auto shape = block_each(s.count * pieces, whole && s.size > kPieceLength ? 1024 : kBlock);
  if (aligned({y, a, b}) && (s.count == 1 || s.size % kQuad == 0)) {
    launch(reduce_pieces<true, T, Fn>, shape, s, pieces, length, fn, y, a, b, partial);
  } else {
    launch(reduce_pieces<false, T, Fn>, shape, s, pieces, length, fn, y, a, b, partial);
  }
  if (!whole) launch(join_pieces<Fn>, block_each(s.count), pieces, fn, partial);
}

}  // namespace lathe::cuda
