#pragma once
// Rows of many values, each shared by a power of two of a warp's lanes or, where rows are long, by a block.

#include "cuda/device.cuh"

namespace lathe::cuda {

/// Threads that share one row.
template <bool kWhole>
struct RowLanes {
  int lane, count;
  bool active;  ///< false: there is no such row; results are not to be stored

  /// Every thread of the block takes part, active or not; every one gets its row's result.
  template <class Op, class V>
  __device__ V reduce(V value) const {
    if constexpr (kWhole) {
      return block_reduce<Op>(value);
    } else {
      for (int offset = count / 2; offset > 0; offset /= 2) {
        value = Op::of(value, __shfl_xor_sync(0xFFFFFFFFu, value, offset));
      }
      return value;
    }
  }
};

/// Fixed chunks of rows, a block each.
template <bool kWhole>
struct RowChunks {
  int64_t rows, chunk, chunks;
  int lanes;

  LaunchShape shape() const { return block_each(chunks); }

  /// fn(row, lanes) for the rows of the block's chunk; threads without a row get the last one, inactive.
  template <class Fn>
  __device__ void for_each_row(Fn fn) const {
    const int64_t lo = blockIdx.x * chunk, hi = lo + chunk < rows ? lo + chunk : rows;
    const int at_once = blockDim.x / lanes;
    for (int64_t first = lo; first < hi; first += at_once) {
      const int64_t row = first + threadIdx.x / lanes;
      const bool active = row < hi;
      fn(active ? row : hi - 1, RowLanes<kWhole>{static_cast<int>(threadIdx.x % lanes), lanes, active});
    }
  }
};

/// Calls fn(RowChunks<kWhole>) for rows of `length` values: about four for each lane up to a warp, a block
/// from 2048 on. At least one chunk, at most `most`, of 4096 values or more.
template <class Fn>
void with_rows(int64_t rows, int64_t length, int64_t most, Fn&& fn) {
  const bool whole = length >= 2048;
  int lanes = 1;
  while (lanes < kWarp && lanes * 4 < length) lanes *= 2;
  if (whole) lanes = kBlock;
  const int64_t at_once = kBlock / lanes;
  int64_t chunk = std::max<int64_t>((rows + most - 1) / most, 4096 / std::max<int64_t>(1, length));
  chunk = std::max<int64_t>(1, (chunk + at_once - 1) / at_once) * at_once;
  const int64_t chunks = std::max<int64_t>(1, (rows + chunk - 1) / chunk);
  whole ? fn(RowChunks<true>{rows, chunk, chunks, lanes}) : fn(RowChunks<false>{rows, chunk, chunks, lanes});
}

/// log(sum(exp(x))) in one pass over x: each lane keeps its largest value and the sum of its exponentials
/// relative to it. -inf for a row of -inf.
template <class T, bool kWhole>
__device__ T row_log_sum_exp(const T* x, int64_t n, const RowLanes<kWhole>& lanes) {
  T largest = -static_cast<T>(INFINITY);
  double sum = 0;
  for (int64_t i = lanes.lane; i < n; i += lanes.count) {
    const T value = x[i];
    if (value > largest) {
      sum = sum * static_cast<double>(exp(largest - value)) + 1;
      largest = value;
    } else if (value != -static_cast<T>(INFINITY)) {  // NaN goes on
      sum += static_cast<double>(exp(value - largest));
    }
  }
  const T shift = lanes.template reduce<Max>(largest);
  if (largest != shift) sum *= static_cast<double>(exp(largest - shift));
  sum = lanes.template reduce<Sum>(sum);
  return shift == -static_cast<T>(INFINITY) && sum == 0 ? shift : shift + log(static_cast<T>(sum));
}

}  // namespace lathe::cuda
