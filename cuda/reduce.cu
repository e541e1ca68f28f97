#include "core/axis_groups.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/matmul.h"
#include "core/kernels/reduce.h"
#include "cuda/dispatch.h"
#include "cuda/packs.cuh"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

constexpr int64_t kWarpRow = 1024;     // elements that a warp, not a block, adds up
constexpr int64_t kChunk = 4096;       // elements of a partial sum of a long row, at least
constexpr int64_t kMostChunks = 4096;  // of a row: one block adds them up
constexpr int64_t kBlocks = 512;       // about as many keep a device busy
constexpr int64_t kManySums = 65536;   // of so many, or of so few rows, a thread makes each
constexpr int64_t kFewRows = 32;

/// Sum of x[begin, end) to every thread of a block.
template <class In>
__device__ double block_sum(const In* x, int64_t begin, int64_t end) {
  double sum = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) sum += static_cast<double>(load(x, i));
  return block_reduce<Sum>(sum);
}

/// Chunk blockIdx.x % chunks of row blockIdx.x / chunks.
template <class Out, class In>
__global__ void sum_chunks(Out* y, const In* x, int64_t n, int64_t chunks, int64_t chunk, double factor) {
  const int64_t row = blockIdx.x / chunks, begin = blockIdx.x % chunks * chunk;
  const int64_t end = begin + chunk < n ? begin + chunk : n;
  const double sum = block_sum(x + row * n, begin, end);
  if (threadIdx.x == 0) y[blockIdx.x] = static_cast<Out>(factor * sum);
}

/// `lanes` threads, a power of two up to 32, for each row.
template <class Out, class In>
__global__ void sum_short_rows(Out* y, const In* x, int64_t count, int64_t n, int lanes, double factor) {
  const int lane = threadIdx.x % lanes;
  const int64_t first = (thread_index() - threadIdx.x) / lanes, together = thread_count() / lanes;
  // The bound is the block's, so that whole warps shuffle.
  for (int64_t base = first; base < count; base += together) {
    const int64_t row = base + threadIdx.x / lanes;
    double sum = 0;
    if (row < count) {
      for (int64_t i = lane; i < n; i += lanes) sum += static_cast<double>(load(x, row * n + i));
    }
    for (int offset = lanes / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, offset);
    if (row < count && lane == 0) y[row] = static_cast<Out>(factor * sum);
  }
}

/// A thread for each of the `count` sums of (outer, n, columns), in order of rows.
template <class Out, class In>
__global__ void sum_strided(Out* y, const In* x, int64_t count, int64_t n, int64_t columns, double factor) {
  for (int64_t i = thread_index(); i < count; i += thread_count()) {
    const int64_t o = i / columns;
    const In* from = x + o * n * columns + (i - o * columns);
    double sum = 0;
    for (int64_t row = 0; row < n; ++row) sum += static_cast<double>(load(from, row * columns));
    y[i] = static_cast<Out>(factor * sum);
  }
}

/// How the middle axis of (outer, n, columns) is cut: chunk c is rows [c rows, (c + 1) rows).
struct ColumnPlan {
  int64_t n, columns;
  int64_t rows, chunks;
  int width;  ///< columns of a block
  int64_t tiles;
};

/// Block (tile, chunk, outer) adds up `width` columns of one chunk. blockDim.x / width threads share a column
/// and take every so-manieth row; their sums are added in order. y is (outer, chunks, columns).
template <class Out, class In>
__global__ void sum_columns(Out* y, const In* x, ColumnPlan plan, double factor) {
  __shared__ double of_thread[kBlock];
  const int64_t tile = blockIdx.x % plan.tiles, piece = blockIdx.x / plan.tiles;
  const int64_t chunk = piece % plan.chunks, o = piece / plan.chunks;
  const int lanes = kBlock / plan.width, lane = threadIdx.x / plan.width;
  const int64_t column = tile * plan.width + threadIdx.x % plan.width;
  const bool works = lane < lanes && column < plan.columns;
  double sum = 0;
  if (works) {
    const int64_t begin = chunk * plan.rows;
    const int64_t end = begin + plan.rows < plan.n ? begin + plan.rows : plan.n;
    const In* from = x + (o * plan.n + begin + lane) * plan.columns + column;
    for (int64_t row = begin + lane; row < end; row += lanes, from += lanes * plan.columns) {
      sum += static_cast<double>(load(from, 0));
    }
  }
  of_thread[threadIdx.x] = sum;
  __syncthreads();
  if (!works || lane != 0) return;
  for (int l = 1; l < lanes; ++l) sum += of_thread[l * plan.width + threadIdx.x];
  y[piece * plan.columns + column] = static_cast<Out>(factor * sum);
}

/// y[k] = factor * sum of x[k n .. (k + 1) n)
template <class Out, class In>
void sum_contiguous(Out* y, const In* x, int64_t count, int64_t n, double factor) {
  if (n <= kWarpRow) {
    const int lanes = n <= 4 ? 1 : n <= 32 ? 8 : kWarp;
    launch(sum_short_rows<Out, In>, over(count * lanes), y, x, count, n, lanes, factor);
    return;
  }
  if (n <= kChunk || count >= kBlocks) {
    launch(sum_chunks<Out, In>, block_each(count), y, x, n, 1, n, factor);
    return;
  }
  const int64_t chunk = std::max(kChunk, (n + kMostChunks - 1) / kMostChunks);
  const int64_t chunks = (n + chunk - 1) / chunk;
  Tensor scratch = Tensor::empty({count, chunks}, DType::F64, current_device());
  double* partial = scratch.mut<double>();
  launch(sum_chunks<double, In>, block_each(count * chunks), partial, x, n, chunks, chunk, 1.0);
  launch(sum_chunks<Out, double>, block_each(count), y, static_cast<const double*>(partial), chunks, 1,
         chunks, factor);
}

/// Chunks of at least 64 rows, as many as give kBlocks blocks: a function of the extents alone.
ColumnPlan column_plan(int64_t outer, int64_t n, int64_t columns) {
  ColumnPlan plan{.n = n, .columns = columns, .rows = n, .chunks = 1, .width = kWarp, .tiles = 1};
  if (columns < kWarp) plan.width = static_cast<int>(columns);
  plan.tiles = (columns + plan.width - 1) / plan.width;
  const int64_t wanted = kBlocks / (outer * plan.tiles), possible = n / 64;
  const int64_t chunks = std::min(wanted, possible);
  if (chunks > 1) {
    plan.rows = (n + chunks - 1) / chunks;
    plan.chunks = (n + plan.rows - 1) / plan.rows;
  }
  return plan;
}

/// y (outer, columns) = factor * the sum of x (outer, n, columns) over its middle axis.
template <class Out, class In>
void sum_rows(Out* y, const In* x, int64_t outer, int64_t n, int64_t columns, double factor) {
  if (n <= kFewRows || outer * columns >= kManySums) {
    const int64_t count = outer * columns;
    launch(sum_strided<Out, In>, over(count), y, x, count, n, columns, factor);
    return;
  }
  const ColumnPlan plan = column_plan(outer, n, columns);
  const auto run = [&]<class To, class From>(To* to, const From* from, const ColumnPlan& part, double scale) {
    launch(sum_columns<To, From>, block_each(outer * part.chunks * part.tiles), to, from, part, scale);
  };
  if (plan.chunks == 1) return run(y, x, plan, factor);
  Tensor scratch = Tensor::empty({outer, plan.chunks, columns}, DType::F64, current_device());
  double* partial = scratch.mut<double>();
  run(partial, x, plan, 1.0);
  ColumnPlan last = plan;
  last.n = last.rows = plan.chunks;
  last.chunks = 1;
  run(y, static_cast<const double*>(partial), last, factor);
}

template <class Out, class In>
void sum_groups(Out* y, const In* x, AxisGroups groups, double factor) {
  const int at = groups.innermost_reduced();
  const int64_t outer = groups.extent(0, at), n = groups.extent(at, at + 1);
  const int64_t inner = groups.extent(at + 1, groups.size());
  const auto sum_axis = [&]<class To>(To* to, double scale) {
    inner == 1 ? sum_contiguous(to, x, outer, n, scale) : sum_rows(to, x, outer, n, inner, scale);
  };
  if (groups.reduced() == 1) return sum_axis(y, factor);
  using Between = Arithmetic<In>;
  Tensor between = Tensor::empty({outer, inner}, dtype_of<Between>(), current_device());
  sum_axis(between.mut<Between>(), 1.0);
  groups.erase(at);
  sum_groups(y, between.ptr<Between>(), groups, factor);
}

/// fn.operator()<Out, In>(): one type, or sums of bf16 in f32.
template <class Fn>
void dispatch_sum(const Tensor& y, const Tensor& x, const char* op, const Fn& fn) {
  if (x.dtype() == DType::BF16 && y.dtype() == DType::F32) return fn.template operator()<float, bf16>();
  LATHE_CHECK(DTypeError, y.dtype() == x.dtype(), op, ": sums of ", x.dtype(), " in ", y.dtype());
  dispatch_arithmetic(x.dtype(), op, [&]<class T>() { fn.template operator()<T, T>(); });
}

}  // namespace

void sum(Tensor& y, const Tensor& x, AxisMask axes, double factor) {
  if (x.numel() == 0) return fill(y, factor * 0.0);
  if (x.numel() == y.numel()) {
    Tensor flat = y.view(x.shape());
    if (x.dtype() == y.dtype()) return unary(flat, x, UnaryOp::Scale, {.a = factor});
    cast(flat, x);
    return unary(flat, flat, UnaryOp::Scale, {.a = factor});
  }
  dispatch_sum(y, x, "sum", [&]<class Out, class In>() {
    sum_groups(y.mut<Out>(), x.ptr<In>(), AxisGroups(x.shape(), axes), factor);
  });
}

void column_sum(Tensor& y, const Tensor& x) {
  const int64_t columns = y.numel();
  if (columns == 0) return;
  if (x.numel() == 0) return fill(y, 0);
  dispatch_sum(y, x, "column_sum", [&]<class Out, class In>() {
    sum_rows(y.mut<Out>(), x.ptr<In>(), 1, x.numel() / columns, columns, 1.0);
  });
}

}  // namespace lathe::kernels::cuda
