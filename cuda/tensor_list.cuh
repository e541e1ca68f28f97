#pragma once
// One launch over a whole list of tensors: their addresses travel in the kernel's parameters, so nothing has
// to be uploaded and a captured launch holds all it needs.

#include <span>

#include "core/tensor.h"
#include "cuda/device.cuh"
#include "cuda/map.cuh"

namespace lathe::cuda {

inline constexpr int64_t kListChunk = 4096;  ///< elements of a tensor that one block works on

/// Up to kMost places of kLists lists, within the 4 KiB that every device takes as parameters.
template <class T, int kLists>
struct TensorTable {
  static constexpr int kMost = (4096 - 256) / (8 * kLists + 12);
  T* list[kLists][kMost];
  int64_t n[kMost];
  int first[kMost];  ///< block that the tensor's chunks begin at
  int count = 0;
  int blocks = 0;

  bool full() const { return count == kMost; }
  /// Tensors without elements take no place.
  void push(const std::array<T*, kLists>& addresses, int64_t elements) {
    if (elements == 0) return;
    for (int k = 0; k < kLists; ++k) list[k][count] = addresses[static_cast<size_t>(k)];
    n[count] = elements;
    first[count++] = blocks;
    blocks += static_cast<int>((elements + kListChunk - 1) / kListChunk);
  }
  void clear() { count = blocks = 0; }

  /// The last tensor whose chunks begin at or before this block.
  __device__ int tensor() const {
    int lo = 0, hi = count;
    while (hi - lo > 1) {
      const int middle = (lo + hi) / 2;
      (first[middle] <= static_cast<int>(blockIdx.x) ? lo : hi) = middle;
    }
    return lo;
  }
  /// fn(elements [kLists][kPack or 1], their number, first element's index) over the block's chunk, 16 bytes
  /// at a time where all addresses allow it.
  template <class Fn>
  __device__ void for_each(Fn fn) const {
    const int i = tensor();
    const int64_t lo = (static_cast<int64_t>(blockIdx.x) - first[i]) * kListChunk;
    const int64_t hi = lo + kListChunk < n[i] ? lo + kListChunk : n[i];
    bool aligned = true;
    T* at[kLists];
    for (int k = 0; k < kLists; ++k) {
      at[k] = list[k][i];
      aligned &= reinterpret_cast<uintptr_t>(at[k]) % 16 == 0;
    }
    const int64_t packed = aligned ? lo + (hi - lo) / kPack<T> * kPack<T> : lo;
    for (int64_t e = lo + static_cast<int64_t>(threadIdx.x) * kPack<T>; e < packed;
         e += blockDim.x * kPack<T>) {
      Pack<T> values[kLists];
      for (int k = 0; k < kLists; ++k) values[k] = *reinterpret_cast<const Pack<T>*>(at[k] + e);
      for (int v = 0; v < kPack<T>; ++v) {
        T element[kLists];
        for (int k = 0; k < kLists; ++k) element[k] = values[k].v[v];
        fn(element);
        for (int k = 0; k < kLists; ++k) values[k].v[v] = element[k];
      }
      for (int k = 0; k < kLists; ++k) {
        if (Fn::writes(k)) *reinterpret_cast<Pack<T>*>(at[k] + e) = values[k];
      }
    }
    for (int64_t e = packed + threadIdx.x; e < hi; e += blockDim.x) {
      T element[kLists];
      for (int k = 0; k < kLists; ++k) element[k] = at[k][e];
      fn(element);
      for (int k = 0; k < kLists; ++k) {
        if (Fn::writes(k)) at[k][e] = element[k];
      }
    }
  }
};

/// Rule::get() yields a function that changes elements in place, element[k] that of list k, and says by
/// writes(k) which lists are to be stored.
template <class T, int kLists, class Rule>
__global__ void update_tensors(TensorTable<T, kLists> table, Rule rule) {
  table.for_each(rule.get());
}

}  // namespace lathe::cuda
