#include <cmath>
#include <limits>

#include "core/kernels/elementwise.h"
#include "core/kernels/embedding.h"
#include "cuda/dispatch.h"
#include "cuda/packs.cuh"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

/// Rows of `width` runs.
template <class T, int W>
__global__ void gather_rows(Run<T, W>* y, const Run<T, W>* table, const int64_t* index, int64_t rows,
                            int64_t width, int64_t n) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    const int64_t token = i / width, row = index[token];
    Run<T, W> run;
    if (row >= 0 && row < rows) {
      run = table[row * width + (i - token * width)];
    } else {
      for (int k = 0; k < W; ++k) run.v[k] = static_cast<T>(std::numeric_limits<float>::quiet_NaN());
    }
    y[i] = run;
  }
}

/// Tokens grouped by index. A token's place is among those of its index, -1 if it adds to no row; the group
/// of row r, its `count[r]` tokens, stands from start[r] on in `order`. Where it stands and how it is ordered
/// hangs on scheduling: whoever reads a group sorts it.
struct Groups {
  const int64_t* index;
  int64_t n, rows, padding;
  int32_t *count, *taken;  ///< of each row; of `order`
  int32_t *start, *place, *order;
};

__global__ void count_tokens(Groups groups) {
  for (int64_t i = thread_index(); i < groups.n; i += thread_count()) {
    const int64_t row = groups.index[i];
    const bool counts = row >= 0 && row < groups.rows && row != groups.padding;
    groups.place[i] = counts ? atomicAdd(&groups.count[row], 1) : -1;
  }
}

__global__ void start_groups(Groups groups) {
  for (int64_t i = thread_index(); i < groups.n; i += thread_count()) {
    if (groups.place[i] != 0) continue;
    const int64_t row = groups.index[i];
    groups.start[row] = atomicAdd(groups.taken, groups.count[row]);
  }
}

__global__ void place_tokens(Groups groups) {
  for (int64_t i = thread_index(); i < groups.n; i += thread_count()) {
    if (groups.place[i] < 0) continue;
    groups.order[groups.start[groups.index[i]] + groups.place[i]] = static_cast<int32_t>(i);
  }
}

constexpr int kThreads = 128;             // of a group's block: a warp wide, kLanes deep
constexpr int kLanes = kThreads / kWarp;  // tokens added side by side
constexpr int kFew = 512;                 // tokens sorted by counting the smaller ones
constexpr int kWindow = kThreads * 32;    // else: tokens sorted at a time, as bits, a word to a thread

struct GroupMemory {
  union {
    int32_t sorted[kWindow];
    double partial[kLanes][kWarp * 8];
  };
  int32_t unsorted[kFew];
  uint32_t bits[kThreads];
};
static_assert(kFew <= kWindow);

/// memory.sorted = the m <= kFew tokens at `group`, in order.
__device__ void sort_few(GroupMemory& memory, const int32_t* group, int m) {
  for (int k = threadIdx.x; k < m; k += kThreads) memory.unsorted[k] = group[k];
  __syncthreads();
  for (int k = threadIdx.x; k < m; k += kThreads) {
    const int32_t mine = memory.unsorted[k];
    int smaller = 0;
    for (int j = 0; j < m; ++j) smaller += memory.unsorted[j] < mine ? 1 : 0;
    memory.sorted[smaller] = mine;
  }
  __syncthreads();
}

/// memory.sorted = those of the m tokens at `group` in [window, window + kWindow), in order; their count.
__device__ int sort_window(GroupMemory& memory, const int32_t* group, int m, int64_t window) {
  memory.bits[threadIdx.x] = 0;
  __syncthreads();
  for (int k = threadIdx.x; k < m; k += kThreads) {
    const int64_t at = group[k] - window;
    if (at < 0 || at >= kWindow) continue;
    atomicAdd(&memory.bits[at / 32], 1u << (at % 32));  // no token twice: adding sets the bit
  }
  __syncthreads();
  int before = 0, total = 0;
  for (int t = 0; t < kThreads; ++t) {
    const int here = __popc(memory.bits[t]);
    if (t < static_cast<int>(threadIdx.x)) before += here;
    total += here;
  }
  const uint32_t mine = memory.bits[threadIdx.x];
  for (int bit = 0; bit < 32; ++bit) {
    if ((mine >> bit & 1) == 0) continue;
    memory.sorted[before++] = static_cast<int32_t>(window) + static_cast<int32_t>(threadIdx.x) * 32 + bit;
  }
  __syncthreads();
  return total;
}

/// Block (i, tile) adds up the group that token i stands first in, over 32 runs of columns. Lane l adds
/// tokens l, l + kLanes, ... of each sorted list, and the lanes are added in order: groups of up to kLanes
/// tokens in order of the tokens, longer ones in an order that hangs on the indices alone.
template <class T, int W>
__global__ void sum_groups(Run<T, W>* dweight, const Run<T, W>* dy, int64_t width, Groups groups) {
  __shared__ GroupMemory memory;
  const int64_t token = blockIdx.x;
  if (groups.place[token] != 0) return;
  const int64_t row = groups.index[token];
  const int32_t* group = groups.order + groups.start[row];
  const int m = groups.count[row], lane = threadIdx.x / kWarp, across = threadIdx.x % kWarp;
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kWarp + across;
  double sum[W] = {};
  const auto add = [&](int count) {
    if (column >= width) return;
    for (int k = lane; k < count; k += kLanes) {
      const Run<T, W> term = dy[memory.sorted[k] * width + column];
      for (int w = 0; w < W; ++w) sum[w] += static_cast<double>(term.v[w]);
    }
  };
  if (m <= kFew) {
    sort_few(memory, group, m);
    add(m);
    __syncthreads();
  } else {
    for (int64_t window = 0; window < groups.n; window += kWindow) {
      add(sort_window(memory, group, m, window));
      __syncthreads();
    }
  }
  for (int w = 0; w < W; ++w) memory.partial[lane][w * kWarp + across] = sum[w];
  __syncthreads();
  if (lane != 0 || column >= width) return;
  Run<T, W> out;
  for (int w = 0; w < W; ++w) {
    for (int l = 1; l < kLanes; ++l) sum[w] += memory.partial[l][w * kWarp + across];
    out.v[w] = static_cast<T>(sum[w]);
  }
  dweight[row * width + column] = out;
}

template <class T>
__global__ void mark_indices(T* y, const int64_t* index, int64_t classes, int64_t n) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    const int64_t row = i / classes, at = index[row];
    const bool known = at >= 0 && at < classes;
    y[i] = !known ? T(NAN) : at == i % classes ? T(1) : T(0);
  }
}

}  // namespace

void embedding_forward(Tensor& y, const Tensor& weight, const Tensor& indices) {
  if (y.numel() == 0) return;
  const int64_t rows = weight.dim(0), dim = weight.dim(1);
  dispatch_arithmetic(weight.dtype(), "embedding", [&]<class T>() {
    const T* table = weight.ptr<T>();
    T* out = y.mut<T>();
    with_width<T>(dim, {table, out}, [&]<int W>() {
      const int64_t n = y.numel() / W;
      launch(gather_rows<T, W>, over(n), runs<W>(out), runs<W>(table), indices.ptr<int64_t>(), rows, dim / W,
             n);
    });
  });
}

void embedding_backward(Tensor& dweight, const Tensor& dy, const Tensor& indices, int64_t padding_idx) {
  const int64_t rows = dweight.dim(0), dim = dweight.dim(1), n = indices.numel();
  fill(dweight, 0);
  if (dweight.numel() == 0 || n == 0) return;
  LATHE_CHECK(ShapeError, n < (int64_t{1} << 31), "embedding: ", n, " indices are too many");
  Tensor count = Tensor::empty({rows + 1}, DType::I32, current_device());
  Tensor start = Tensor::empty({rows}, DType::I32, current_device());
  Tensor token = Tensor::empty({2, n}, DType::I32, current_device());
  fill(count, 0);
  const Groups groups{.index = indices.ptr<int64_t>(),
                      .n = n,
                      .rows = rows,
                      .padding = padding_idx,
                      .count = count.mut<int32_t>(),
                      .taken = count.mut<int32_t>() + rows,
                      .start = start.mut<int32_t>(),
                      .place = token.mut<int32_t>(),
                      .order = token.mut<int32_t>() + n};
  launch(count_tokens, over(n), groups);
  launch(start_groups, over(n), groups);
  launch(place_tokens, over(n), groups);
  dispatch_arithmetic(dweight.dtype(), "embedding", [&]<class T>() {
    const T* in = dy.ptr<T>();
    T* out = dweight.mut<T>();
    with_width<T>(dim, {in, out}, [&]<int W>() {
      LaunchShape shape = block_each(n, kThreads);
      shape.grid.y = static_cast<unsigned>((dim / W + kWarp - 1) / kWarp);
      launch(sum_groups<T, W>, shape, runs<W>(out), runs<W>(in), dim / W, groups);
    });
  });
}

void one_hot(Tensor& y, const Tensor& indices) {
  dispatch_floating(y.dtype(), "one_hot", [&]<class T>() {
    launch(mark_indices<T>, over(y.numel()), y.mut<T>(), indices.ptr<int64_t>(), y.shape()[-1], y.numel());
  });
}

}  // namespace lathe::kernels::cuda
