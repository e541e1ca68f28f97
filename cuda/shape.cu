#include "core/kernels/shape.h"
#include "core/loop_nest.h"
#include "cuda/dispatch.h"
#include "cuda/packs.cuh"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

/// y is dense with the nest's extents; n is its count.
template <class Word>
__global__ void gather(Word* y, const Word* x, LoopNest<1> nest, int64_t n) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    int64_t rest = i, at = 0;
    for (int axis = 0; axis < nest.rank; ++axis) {
      const int64_t outer = rest / nest.extent[axis];
      at += (rest - outer * nest.extent[axis]) * nest.stride[0][axis];
      rest = outer;
    }
    y[i] = x[at];
  }
}

constexpr int kTileRows = 8;  // of threads, 32 to a row

/// Planes of a permutation that moves the inner axis: y's (rows, columns) are x's (columns, rows). Counts and
/// strides in elements.
struct Planes {
  int64_t rows, columns;
  int64_t row_tiles, column_tiles;
  int64_t y_stride;       ///< from row to row
  int64_t x_stride;       ///< from column to column
  LoopNest<2> of_planes;  ///< operand 0 is y, 1 is x
};

/// Tiles of 32 W x 32 W elements go through shared memory, so that both sides move rows of 32 runs; 33 runs
/// to a row of the tile spread its columns over the banks.
template <class Element, int W>
__global__ void transpose(Element* y, const Element* x, Planes planes) {
  constexpr int kSide = kWarp * W;
  __shared__ Run<Element, W> tile[kSide][kWarp + 1];
  int64_t rest = blockIdx.x / planes.column_tiles, at_y = 0, at_x = 0;
  const int64_t column = blockIdx.x % planes.column_tiles * kSide;
  const int64_t row = rest % planes.row_tiles * kSide;
  rest /= planes.row_tiles;
  for (int axis = 0; axis < planes.of_planes.rank; ++axis) {
    const int64_t position = rest % planes.of_planes.extent[axis];
    rest /= planes.of_planes.extent[axis];
    at_y += position * planes.of_planes.stride[0][axis];
    at_x += position * planes.of_planes.stride[1][axis];
  }
  const int run = threadIdx.x, lane = run * W;
  for (int j = threadIdx.y; j < kSide; j += kTileRows) {
    if (column + j >= planes.columns || row + lane >= planes.rows) continue;
    tile[j][run] = *runs<W>(x + at_x + (column + j) * planes.x_stride + row + lane);
  }
  __syncthreads();
  for (int i = threadIdx.y; i < kSide; i += kTileRows) {
    if (row + i >= planes.rows || column + lane >= planes.columns) continue;
    Run<Element, W> out;
    for (int k = 0; k < W; ++k) out.v[k] = tile[lane + k][i / W].v[i % W];
    *runs<W>(y + at_y + (row + i) * planes.y_stride + column + lane) = out;
  }
}

/// Runs of n words: (o, k) from o x_outer + k x_step to o y_outer + k y_step; all in words.
struct Runs {
  int64_t n, count;
  int64_t y_outer, y_step, x_outer, x_step;
};

template <class Word>
__global__ void copy_runs(Word* y, const Word* x, Runs runs, int64_t total) {
  for (int64_t i = thread_index(); i < total; i += thread_count()) {
    const int64_t run = i / runs.n, j = i - run * runs.n;
    const int64_t o = run / runs.count, k = run - o * runs.count;
    y[o * runs.y_outer + k * runs.y_step + j] = x[o * runs.x_outer + k * runs.x_step + j];
  }
}

/// A thread owns one element of y: of every k where y stands still, of one k elsewhere.
template <class T>
__global__ void add_runs(T* y, const T* x, Runs runs, int64_t terms, int64_t total) {
  for (int64_t i = thread_index(); i < total; i += thread_count()) {
    const int64_t run = i / runs.n, j = i - run * runs.n;
    const int64_t o = run / runs.count, k = run - o * runs.count;
    const int64_t at = o * runs.y_outer + k * runs.y_step + j;
    Arithmetic<T> sum = load(y, at);
    for (int64_t t = 0; t < terms; ++t) sum += load(x, o * runs.x_outer + (k + t) * runs.x_step + j);
    store(y, at, sum);
  }
}

/// Pixels (h, w) of the larger image, (oh, ow) of the smaller one; channels in words.
struct OptionA {
  int64_t h, w, c;
  int64_t oh, ow, wide, before;
  int64_t stride;
};

template <class Word>
__global__ void option_a(Word* y, const Word* x, OptionA g, int64_t n) {
  for (int64_t at = thread_index(); at < n; at += thread_count()) {
    const int64_t channel = at % g.wide - g.before, j = at / g.wide % g.ow, row = at / g.wide / g.ow;
    Word value{};
    if (channel >= 0 && channel < g.c) {
      const int64_t image = row / g.oh, i = row % g.oh;
      value = x[((image * g.h + i * g.stride) * g.w + j * g.stride) * g.c + channel];
    }
    y[at] = value;
  }
}

template <class Word>
__global__ void option_a_gradient(Word* dx, const Word* dy, OptionA g, int64_t n) {
  for (int64_t at = thread_index(); at < n; at += thread_count()) {
    const int64_t channel = at % g.c, j = at / g.c % g.w, row = at / g.c / g.w;
    const int64_t image = row / g.h, i = row % g.h;
    Word value{};
    if (i % g.stride == 0 && j % g.stride == 0) {
      value = dy[((image * g.oh + i / g.stride) * g.ow + j / g.stride) * g.wide + g.before + channel];
    }
    dx[at] = value;
  }
}

int64_t address(const void* p) {
  return static_cast<int64_t>(reinterpret_cast<uintptr_t>(p));
}

/// The nest's elements of `width` bytes moved in the widest words that its inner axis and strides allow.
void gather_words(Tensor& y, const Tensor& x, LoopNest<1> nest, int64_t width) {
  if (nest.rank == 0) {
    nest.rank = 1;
    nest.extent[0] = nest.stride[0][0] = 1;
  }
  const bool whole = nest.stride[0][0] == 1;
  int64_t bytes = whole ? nest.extent[0] * width : width;
  for (int i = 1; i < nest.rank; ++i) bytes |= nest.stride[0][i] * width;
  with_widest_word({bytes, address(x.raw()), address(y.raw_mut())}, [&]<class Word>() {
    const auto size = static_cast<int64_t>(sizeof(Word));
    LoopNest<1> words = nest;
    if (whole) words.extent[0] = nest.extent[0] * width / size;
    for (int i = whole ? 1 : 0; i < nest.rank; ++i) words.stride[0][i] = nest.stride[0][i] * width / size;
    const int64_t n = words.outer(0);
    launch(gather<Word>, over(n), reinterpret_cast<Word*>(y.raw_mut()),
           reinterpret_cast<const Word*>(x.raw()), words, n);
  });
}

/// Axis `p` of the nest is x's inner axis: (p, inner) planes are transposed.
Planes planes_of(const LoopNest<1>& nest, int p) {
  Planes planes{};
  int64_t y_stride = nest.extent[0];
  for (int i = 1; i < nest.rank; ++i) {
    if (i == p) {
      planes.y_stride = y_stride;
    } else {
      planes.of_planes.push(nest.extent[i], {y_stride, nest.stride[0][i]});
    }
    y_stride *= nest.extent[i];
  }
  planes.columns = nest.extent[0];
  planes.rows = nest.extent[p];
  planes.x_stride = nest.stride[0][0];
  return planes;
}

template <class Element, int W>
void transpose_planes(Tensor& y, const Tensor& x, Planes planes) {
  constexpr int64_t kSide = kWarp * W;
  planes.row_tiles = (planes.rows + kSide - 1) / kSide;
  planes.column_tiles = (planes.columns + kSide - 1) / kSide;
  LaunchShape shape = block_each(planes.of_planes.outer(0) * planes.row_tiles * planes.column_tiles);
  shape.block = dim3(kWarp, kTileRows);
  launch(transpose<Element, W>, shape, reinterpret_cast<Element*>(y.raw_mut()),
         reinterpret_cast<const Element*>(x.raw()), planes);
}

/// Elements narrower than 4 bytes move in runs of 4 where extents, strides and addresses allow it.
void permute_planes(Tensor& y, const Tensor& x, const Planes& planes, int64_t width) {
  if (width == 8) return transpose_planes<uint64_t, 1>(y, x, planes);
  if (width == 4) return transpose_planes<uint32_t, 1>(y, x, planes);
  int64_t all = planes.rows | planes.columns | planes.x_stride | planes.y_stride;
  for (int i = 0; i < planes.of_planes.rank; ++i) {
    all |= planes.of_planes.stride[0][i] | planes.of_planes.stride[1][i];
  }
  const bool in_runs = (all * width | address(x.raw()) | address(y.raw_mut())) % 4 == 0;
  if (width == 2 && in_runs) return transpose_planes<uint16_t, 2>(y, x, planes);
  if (width == 2) return transpose_planes<uint16_t, 1>(y, x, planes);
  if (in_runs) return transpose_planes<uint8_t, 4>(y, x, planes);
  transpose_planes<uint8_t, 1>(y, x, planes);
}

void check_element(const Tensor& x) {
  LATHE_CHECK(DTypeError, is_floating(x.dtype()), "option_a_shortcut: needs f32, f64 or bf16, got ",
              x.dtype());
}

}  // namespace

void permute(Tensor& y, const Tensor& x, const std::vector<int>& axes) {
  constexpr int64_t kThin = 8;  // planes narrower than this leave most of a tile empty: caches serve them
  if (x.numel() == 0) return;
  const LoopNest<1> nest = permuted_nest(y.shape(), x.shape(), axes);
  const auto width = static_cast<int64_t>(size_of(x.dtype()));
  if (nest.rank == 0 || nest.stride[0][0] == 1) return gather_words(y, x, nest, width);
  int p = 1;
  while (nest.stride[0][p] != 1) ++p;
  if (std::min(nest.extent[0], nest.extent[p]) < kThin) return gather_words(y, x, nest, width);
  permute_planes(y, x, planes_of(nest, p), width);
}

void copy_axis(Tensor& y, const Tensor& x, const AxisCopy& copy) {
  const Around to(y.shape(), copy.axis), from(x.shape(), copy.axis);
  if (to.outer == 0 || to.inner == 0 || copy.count == 0) return;
  const int64_t pixel = to.inner * static_cast<int64_t>(size_of(x.dtype()));
  const bool whole = copy.y_step == 1 && copy.x_step == 1;  // one run for each outer index
  const Runs bytes{.n = whole ? copy.count * pixel : pixel,
                   .count = whole ? 1 : copy.count,
                   .y_outer = to.extent * pixel,
                   .y_step = copy.y_step * pixel,
                   .x_outer = from.extent * pixel,
                   .x_step = copy.x_step * pixel};
  const std::byte* in = x.raw() + copy.x_begin * pixel;
  std::byte* out = y.raw_mut() + copy.y_begin * pixel;
  // An outer extent of 1 says nothing about strides.
  const int64_t outer = to.outer == 1 ? 0 : bytes.y_outer | bytes.x_outer;
  const int64_t steps = whole ? 0 : pixel;
  with_widest_word({bytes.n, outer, steps, address(in), address(out)}, [&]<class Word>() {
    const auto size = static_cast<int64_t>(sizeof(Word));
    const Runs words{bytes.n / size,      bytes.count,          bytes.y_outer / size,
                     bytes.y_step / size, bytes.x_outer / size, bytes.x_step / size};
    const int64_t total = to.outer * words.count * words.n;
    launch(copy_runs<Word>, over(total), reinterpret_cast<Word*>(out), reinterpret_cast<const Word*>(in),
           words, total);
  });
}

void add_axis(Tensor& y, const Tensor& x, const AxisCopy& copy) {
  const Around to(y.shape(), copy.axis), from(x.shape(), copy.axis);
  if (to.outer == 0 || to.inner == 0 || copy.count == 0) return;
  const bool still = copy.y_step == 0;
  const Runs runs{.n = to.inner,
                  .count = still ? 1 : copy.count,
                  .y_outer = to.extent * to.inner,
                  .y_step = copy.y_step * to.inner,
                  .x_outer = from.extent * to.inner,
                  .x_step = copy.x_step * to.inner};
  const int64_t total = to.outer * runs.count * runs.n;
  dispatch_arithmetic(y.dtype(), "add_axis", [&]<class T>() {
    launch(add_runs<T>, over(total), y.mut<T>() + copy.y_begin * to.inner,
           x.ptr<T>() + copy.x_begin * to.inner, runs, still ? copy.count : 1, total);
  });
}

void option_a_forward(Tensor& y, const Tensor& x, int64_t stride) {
  check_element(y);
  if (y.numel() == 0) return;
  const auto width = static_cast<int64_t>(size_of(x.dtype()));
  const int64_t c = x.dim(3) * width, wide = y.dim(3) * width, before = (y.dim(3) - x.dim(3)) / 2 * width;
  with_widest_word({c, wide, before, address(x.raw()), address(y.raw_mut())}, [&]<class Word>() {
    const auto size = static_cast<int64_t>(sizeof(Word));
    const OptionA g{x.dim(1), x.dim(2), c / size, y.dim(1), y.dim(2), wide / size, before / size, stride};
    const int64_t n = static_cast<int64_t>(y.bytes()) / size;
    launch(option_a<Word>, over(n), reinterpret_cast<Word*>(y.raw_mut()),
           reinterpret_cast<const Word*>(x.raw()), g, n);
  });
}

void option_a_backward(Tensor& dx, const Tensor& dy, int64_t stride) {
  check_element(dx);
  if (dx.numel() == 0) return;
  const auto width = static_cast<int64_t>(size_of(dx.dtype()));
  const int64_t c = dx.dim(3) * width, wide = dy.dim(3) * width, before = (dy.dim(3) - dx.dim(3)) / 2 * width;
  with_widest_word({c, wide, before, address(dx.raw()), address(dy.raw())}, [&]<class Word>() {
    const auto size = static_cast<int64_t>(sizeof(Word));
    const OptionA g{dx.dim(1), dx.dim(2), c / size, dy.dim(1), dy.dim(2), wide / size, before / size, stride};
    const int64_t n = static_cast<int64_t>(dx.bytes()) / size;
    launch(option_a_gradient<Word>, over(n), reinterpret_cast<Word*>(dx.raw_mut()),
           reinterpret_cast<const Word*>(dy.raw()), g, n);
  });
}

}  // namespace lathe::kernels::cuda
