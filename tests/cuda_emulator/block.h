#pragma once
#include <functional>

#include <cuda_runtime.h>

namespace emulator {

/// Runs body once for each thread of each block, with threadIdx and its kin set. Aborts with a message when
/// threads wait for others that never come.
void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body);

void* dynamic_shared_memory();

}  // namespace emulator
